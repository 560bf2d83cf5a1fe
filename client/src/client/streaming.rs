//! The six operations of a handle.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::{CacheResult, Operation, StreamEntry, StreamingBackend};

use super::Client;

impl StreamingBackend for Client {
    fn stream_add<'a>(
        &'a self,
        stream_key: &'a str,
        fields: Vec<(String, String)>,
        maxlen: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<String>> {
        let operation = Operation::Add {
            stream: owned(stream_key),
            fields: fields
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            maxlen: maxlen.map(|n| n as u64),
        };
        self.request(operation)
            .map(|reply| reply?.into_added())
            .boxed()
    }

    fn stream_read_latest<'a>(
        &'a self,
        stream_key: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        let operation = Operation::ReadLatest {
            stream: owned(stream_key),
            count: count as u64,
        };
        self.request(operation)
            .map(|reply| reply?.into_entries())
            .boxed()
    }

    fn stream_read<'a>(
        &'a self,
        stream_key: &'a str,
        last_id: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        let operation = read(stream_key, last_id, count, block_ms);
        self.request(operation)
            .map(|reply| reply?.into_entries())
            .boxed()
    }

    fn stream_create_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, CacheResult<()>> {
        let operation = Operation::CreateGroup {
            stream: owned(stream_key),
            group: owned(group_name),
            id: owned(id),
        };
        self.request(operation)
            .map(|reply| reply?.into_done())
            .boxed()
    }

    fn stream_read_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        let operation = Operation::ReadGroup {
            stream: owned(stream_key),
            group: owned(group_name),
            consumer: owned(consumer_name),
            count: count as u64,
            block_ms: block_ms.map(|ms| ms as u64),
        };
        self.request(operation)
            .map(|reply| reply?.into_entries())
            .boxed()
    }

    fn stream_ack<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<()>> {
        let operation = Operation::Ack {
            stream: owned(stream_key),
            group: owned(group_name),
            ids: ids.iter().cloned().map(Into::into).collect(),
        };
        self.request(operation)
            .map(|reply| reply?.into_done())
            .boxed()
    }
}

pub(super) fn read(
    stream_key: &str,
    last_id: &str,
    count: usize,
    block_ms: Option<usize>,
) -> Operation<'static> {
    Operation::Read {
        stream: owned(stream_key),
        last_id: owned(last_id),
        count: count as u64,
        block_ms: block_ms.map(|ms| ms as u64),
    }
}

pub(super) fn owned(text: &str) -> streamgate_protocol::text::Text<'static> {
    text.to_owned().into()
}
