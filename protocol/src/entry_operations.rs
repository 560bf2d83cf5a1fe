//! [`EntryOperations`]: the operations with names and values that are bytes. The one place that turns
//! calls into [`Operation`]s and their [`Reply`]s into results.

use futures_util::future::BoxFuture;

use crate::byte_string::Bytes;
use crate::entry::Entry;
use crate::error::CacheResult;
use crate::message::{Operation, Reply};
use crate::pending::{Claimed, ConsumerInfo, PendingEntry, PendingQuery, PendingSummary};
use crate::perform_operation::PerformOperation;
use crate::text::Text;

/// The operations of [`StreamingBackend`](crate::StreamingBackend) and
/// [`PendingEntries`](crate::PendingEntries) with names and values that are bytes, as in Redis.
///
/// Those traits take text, and replace what is not UTF-8 with U+FFFD in the entries that they
/// return. Here names and values are text or bytes alike, and nothing is replaced. Every backend
/// and every client has both. What an operation means, its errors and its cancel safety are as in
/// those traits. For subscriptions see
/// [`tail_stream`](crate::SubscribingBackend::tail_stream) and
/// [`consume_group`](crate::SubscribingBackend::consume_group).
///
/// ```
/// use streamgate_protocol::EntryOperations;
/// # use streamgate_protocol::{CacheResult, Entry, Operation, PerformOperation, Reply};
/// # struct Backend;
/// # impl PerformOperation for Backend {
/// #     async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
/// #         Ok(match operation {
/// #             Operation::Add { .. } => Reply::Added { id: "1-0".to_owned() },
/// #             _ => Reply::entries(vec![Entry::new("1-0", [("jpeg", [0xff, 0xd8, 0xff])])]),
/// #         })
/// #     }
/// # }
/// # futures_util::FutureExt::now_or_never(async {
/// # let backend = Backend;
///
/// let picture = [0xff, 0xd8, 0xff];
/// backend.add_entry("pictures", [("jpeg", &picture)], None).await?;
/// for entry in backend.read_entries("pictures", "0", 10, None).await? {
///     assert_eq!(entry.get_bytes("jpeg"), Some(&picture[..]));
/// }
/// # CacheResult::Ok(())
/// # }).unwrap().unwrap();
/// ```
pub trait EntryOperations: PerformOperation {
    /// Adds an entry and returns its id: `XADD`. See
    /// [`stream_add`](crate::StreamingBackend::stream_add).
    fn add_entry<'a, N, V>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        fields: impl IntoIterator<Item = (N, V)>,
        maxlen: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<String>>
    where
        N: Into<Bytes<'a>>,
        V: Into<Bytes<'a>>,
    {
        let fields = fields.into_iter();
        let operation = Operation::Add {
            stream: stream_key.into(),
            fields: fields.map(|(n, v)| (n.into(), v.into())).collect(),
            maxlen: maxlen.map(number),
        };
        perform(self, operation, Reply::into_added)
    }

    /// Returns the last `count` entries, newest first: `XREVRANGE`. See
    /// [`stream_read_latest`](crate::StreamingBackend::stream_read_latest).
    fn read_latest_entries<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Vec<Entry>>> {
        let operation = Operation::ReadLatest {
            stream: stream_key.into(),
            count: number(count),
        };
        perform(self, operation, Reply::into_entries)
    }

    /// Returns the entries after an id, oldest first: `XREAD`. See
    /// [`stream_read`](crate::StreamingBackend::stream_read).
    fn read_entries<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        last_id: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<Entry>>> {
        let operation = Operation::Read {
            stream: stream_key.into(),
            last_id: last_id.into(),
            count: number(count),
            block_ms: block_ms.map(number),
        };
        perform(self, operation, Reply::into_entries)
    }

    /// Creates a consumer group: `XGROUP CREATE`. See
    /// [`stream_create_group`](crate::StreamingBackend::stream_create_group).
    fn create_group<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        group_name: impl Into<Bytes<'a>>,
        id: &'a str,
    ) -> BoxFuture<'a, CacheResult<()>> {
        let operation = Operation::CreateGroup {
            stream: stream_key.into(),
            group: group_name.into(),
            id: id.into(),
        };
        perform(self, operation, Reply::into_done)
    }

    /// Delivers new entries of a group to a consumer: `XREADGROUP`. See
    /// [`stream_read_group`](crate::StreamingBackend::stream_read_group).
    fn read_group_entries<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        group_name: impl Into<Bytes<'a>>,
        consumer_name: impl Into<Bytes<'a>>,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<Entry>>> {
        let operation = Operation::ReadGroup {
            stream: stream_key.into(),
            group: group_name.into(),
            consumer: consumer_name.into(),
            count: number(count),
            block_ms: block_ms.map(number),
        };
        perform(self, operation, Reply::into_entries)
    }

    /// Acknowledges entries and returns how many of them were pending: `XACK`. See
    /// [`acknowledge`](crate::PendingEntries::acknowledge).
    fn ack_entries<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        group_name: impl Into<Bytes<'a>>,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<u64>> {
        let operation = Operation::Ack {
            stream: stream_key.into(),
            group: group_name.into(),
            ids: ids_of(ids),
        };
        perform(self, operation, Reply::into_acknowledged)
    }

    /// Returns how many entries are pending, and which consumers hold them. See
    /// [`pending_summary`](crate::PendingEntries::pending_summary).
    fn summarize_pending<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        group_name: impl Into<Bytes<'a>>,
    ) -> BoxFuture<'a, CacheResult<PendingSummary>> {
        let operation = Operation::PendingSummary {
            stream: stream_key.into(),
            group: group_name.into(),
        };
        perform(self, operation, Reply::into_summary)
    }

    /// Lists pending entries of a group in the order of their ids: `XPENDING`. See
    /// [`pending`](crate::PendingEntries::pending).
    fn list_pending<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        group_name: impl Into<Bytes<'a>>,
        query: PendingQuery,
    ) -> BoxFuture<'a, CacheResult<Vec<PendingEntry>>> {
        let operation = Operation::pending(stream_key, group_name, query);
        perform(self, operation, Reply::into_pending)
    }

    /// Claims idle entries for a consumer: `XAUTOCLAIM`. See
    /// [`claim`](crate::PendingEntries::claim).
    fn claim_entries<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        group_name: impl Into<Bytes<'a>>,
        consumer_name: impl Into<Bytes<'a>>,
        min_idle_ms: u64,
        start: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Claimed>> {
        let operation = Operation::Claim {
            stream: stream_key.into(),
            group: group_name.into(),
            consumer: consumer_name.into(),
            min_idle_ms,
            start: start.into(),
            count: number(count),
        };
        perform(self, operation, Reply::into_claimed)
    }

    /// Lists the consumers of a group: `XINFO CONSUMERS`. See
    /// [`consumers`](crate::PendingEntries::consumers).
    fn list_consumers<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        group_name: impl Into<Bytes<'a>>,
    ) -> BoxFuture<'a, CacheResult<Vec<ConsumerInfo>>> {
        let operation = Operation::Consumers {
            stream: stream_key.into(),
            group: group_name.into(),
        };
        perform(self, operation, Reply::into_consumers)
    }

    /// Removes a consumer after handing its pending entries to `new_owner`, and returns how many it
    /// handed over. See [`remove_consumer`](crate::PendingEntries::remove_consumer).
    fn remove_group_consumer<'a>(
        &'a self,
        stream_key: impl Into<Bytes<'a>>,
        group_name: impl Into<Bytes<'a>>,
        consumer_name: impl Into<Bytes<'a>>,
        new_owner: impl Into<Bytes<'a>>,
    ) -> BoxFuture<'a, CacheResult<u64>> {
        let operation = Operation::RemoveConsumer {
            stream: stream_key.into(),
            group: group_name.into(),
            consumer: consumer_name.into(),
            new_owner: new_owner.into(),
        };
        perform(self, operation, Reply::into_removed)
    }
}

impl<T: PerformOperation + ?Sized> EntryOperations for T {}

fn perform<'a, T: PerformOperation + ?Sized, R: 'a>(
    backend: &'a T,
    operation: Operation<'a>,
    result: fn(Reply) -> CacheResult<R>,
) -> BoxFuture<'a, CacheResult<R>> {
    let reply = backend.perform_operation(operation);
    Box::pin(async move { result(reply.await?) })
}

fn ids_of(ids: &[String]) -> Vec<Text<'_>> {
    ids.iter().map(|id| Text::from(id.as_str())).collect()
}

fn number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
