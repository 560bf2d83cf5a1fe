//! A backend that implements the six operations and nothing else.

use futures_util::future::BoxFuture;
use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::{CacheResult, StreamEntry, StreamingBackend};

/// Keeps the defaults.
pub(crate) struct Plain(pub(crate) MemoryStreams);

impl Backend for Plain {}

impl StreamingBackend for Plain {
    fn stream_add<'a>(
        &'a self,
        stream_key: &'a str,
        fields: Vec<(String, String)>,
        maxlen: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<String>> {
        self.0.stream_add(stream_key, fields, maxlen)
    }

    fn stream_read_latest<'a>(
        &'a self,
        stream_key: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        self.0.stream_read_latest(stream_key, count)
    }

    fn stream_read<'a>(
        &'a self,
        stream_key: &'a str,
        last_id: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        self.0.stream_read(stream_key, last_id, count, block_ms)
    }

    fn stream_create_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, CacheResult<()>> {
        self.0.stream_create_group(stream_key, group_name, id)
    }

    fn stream_read_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        self.0
            .stream_read_group(stream_key, group_name, consumer_name, count, block_ms)
    }

    fn stream_ack<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<()>> {
        self.0.stream_ack(stream_key, group_name, ids)
    }
}
