//! The traits with text, for every backend that performs operations as data: [`EntryOperations`] with
//! text instead of bytes.

use futures_util::future::{BoxFuture, FutureExt as _, TryFutureExt as _};

use crate::entry::Entry;
use crate::entry_operations::EntryOperations;
use crate::error::CacheResult;
use crate::pending::{
    Claimed, ConsumerInfo, PendingEntries, PendingEntry, PendingQuery, PendingSummary,
};
use crate::perform_operation::PerformOperation;
use crate::traits::{StreamEntry, StreamingBackend};

impl<T: PerformOperation> StreamingBackend for T {
    fn stream_add<'a>(
        &'a self,
        stream_key: &'a str,
        fields: Vec<(String, String)>,
        maxlen: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<String>> {
        // The list keeps its allocation, and so does each text.
        self.add_entry(stream_key, fields, maxlen)
    }

    fn stream_read_latest<'a>(
        &'a self,
        stream_key: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        as_text(self.read_latest_entries(stream_key, count))
    }

    fn stream_read<'a>(
        &'a self,
        stream_key: &'a str,
        last_id: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        as_text(self.read_entries(stream_key, last_id, count, block_ms))
    }

    fn stream_create_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, CacheResult<()>> {
        self.create_group(stream_key, group_name, id)
    }

    fn stream_read_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        as_text(self.read_group_entries(stream_key, group_name, consumer_name, count, block_ms))
    }

    fn stream_ack<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<()>> {
        self.ack_entries(stream_key, group_name, ids)
            .map_ok(drop)
            .boxed()
    }
}

impl<T: PerformOperation> PendingEntries for T {
    fn pending_summary<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<PendingSummary>> {
        self.summarize_pending(stream_key, group_name)
    }

    fn pending<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        query: PendingQuery,
    ) -> BoxFuture<'a, CacheResult<Vec<PendingEntry>>> {
        self.list_pending(stream_key, group_name, query)
    }

    fn claim<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        min_idle_ms: u64,
        start: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Claimed>> {
        self.claim_entries(
            stream_key,
            group_name,
            consumer_name,
            min_idle_ms,
            start,
            count,
        )
    }

    fn remove_consumer<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        new_owner: &'a str,
    ) -> BoxFuture<'a, CacheResult<u64>> {
        self.remove_group_consumer(stream_key, group_name, consumer_name, new_owner)
    }

    fn consumers<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<Vec<ConsumerInfo>>> {
        self.list_consumers(stream_key, group_name)
    }

    fn acknowledge<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<u64>> {
        self.ack_entries(stream_key, group_name, ids)
    }
}

/// Replaces what is not UTF-8 with U+FFFD.
fn as_text(
    entries: BoxFuture<'_, CacheResult<Vec<Entry>>>,
) -> BoxFuture<'_, CacheResult<Vec<StreamEntry>>> {
    let as_text = |entries: Vec<Entry>| entries.into_iter().map(StreamEntry::from).collect();
    entries.map_ok(as_text).boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt;

    use super::*;
    use crate::error::code;
    use crate::message::{Operation, Reply};

    /// Records operations and answers all with the same reply.
    struct Recorder {
        performed: Mutex<Vec<Operation<'static>>>,
        reply: Reply,
    }

    impl Recorder {
        fn new(reply: Reply) -> Self {
            Self {
                performed: Mutex::default(),
                reply,
            }
        }

        fn performed(&self) -> Vec<Operation<'static>> {
            self.performed.lock().unwrap().drain(..).collect()
        }
    }

    impl PerformOperation for Recorder {
        async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
            self.performed.lock().unwrap().push(operation.into_owned());
            Ok(self.reply.clone())
        }
    }

    #[test]
    fn a_call_is_an_operation_and_its_reply_the_result() {
        let backend = Recorder::new(Reply::entries(vec![Entry::deleted("1-0")]));
        let read = backend.stream_read("s", "0", 5, Some(0)).now_or_never();
        assert_eq!(read.unwrap().unwrap()[0].0, "1-0");
        assert_eq!(
            backend.performed(),
            [Operation::Read {
                stream: "s".into(),
                last_id: "0".into(),
                count: 5,
                block_ms: Some(0),
            }]
        );
    }

    #[test]
    fn a_reply_to_another_operation_is_an_error() {
        let backend = Recorder::new(Reply::Done {});
        let read = backend.stream_read_latest("s", 1).now_or_never().unwrap();
        assert_eq!(read.unwrap_err().code(), code::PROTOCOL);
    }

    #[test]
    fn nothing_is_performed_before_the_first_poll() {
        let backend = Recorder::new(Reply::Done {});
        drop(backend.stream_ack("s", "g", &["1-0".to_owned()]));
        assert_eq!(backend.performed(), []);
    }

    #[test]
    fn an_add_copies_no_field_and_takes_one_box() {
        struct Ignore;
        impl PerformOperation for Ignore {
            async fn perform_operation<'a>(
                &'a self,
                operation: Operation<'a>,
            ) -> CacheResult<Reply> {
                let Operation::Add { fields, .. } = operation.into_owned() else {
                    panic!("it is an add");
                };
                assert_eq!(fields.len(), 2);
                Ok(Reply::Added { id: String::new() })
            }
        }
        let field = || ("name".to_owned(), "value".to_owned());
        let fields = vec![field(), field()];
        let used = allocation_counter::measure(|| {
            let added = Ignore.stream_add("key", fields, None).now_or_never();
            added.unwrap().unwrap();
        });
        // The future, and the owned key.
        assert_eq!(used.count_total, 2);
    }

    #[test]
    fn a_backend_may_implement_the_trait_by_hand() {
        fn is_backend<T: StreamingBackend + PendingEntries + ?Sized>() {}
        is_backend::<Recorder>();
        is_backend::<dyn PendingEntries>();
    }
}
