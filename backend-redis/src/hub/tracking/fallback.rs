//! The fallback if Redis refuses `CLIENT TRACKING`: `XREAD BLOCK` on connections of its own makes
//! the invalidations.
//!
//! One connection blocks for at most [`MAX_KEYS`](blocked_keys::MAX_KEYS) streams: a wake costs
//! Redis as much as there are keys in the command. The hub hands each stream over with the id after
//! which it found no entries. The fallback reports the stream once when entries come after that id.
//!
//! `XREAD BLOCK` does not report a delete, a trim or a recreated stream. The hub's rechecks find
//! them every two seconds ([`crate::hub::hub_task`]).

mod blocked_keys;
mod blocking_reader;

use std::collections::HashMap;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use streamgate_protocol::EntryId;
use tokio::task::AbortHandle;

use crate::connection::endpoint::Endpoint;
use crate::hub::tracking::fallback::blocked_keys::BlockedKeys;
use crate::hub::tracking::fallback::blocking_reader::BlockingReader;
use crate::hub::tracking::invalidations::Invalidations;

/// A request of the hub to the fallback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hub) enum FallbackRequest {
    /// Report the stream once, when it has entries after this id.
    Watch(Arc<[u8]>, EntryId),
    /// Nobody waits for the stream any more.
    Unwatch(Arc<[u8]>),
}

/// The connections that block, and the streams of each.
pub(in crate::hub) struct BlockingFallback {
    endpoint: Endpoint,
    /// The hub's connection, on which nothing blocks.
    hub: MultiplexedConnection,
    invalidations: Arc<Invalidations>,
    readers: Vec<RunningReader>,
    keys_by_stream: HashMap<Arc<[u8]>, Arc<BlockedKeys>>,
}

/// A task with a connection that blocks. Dropping it aborts the task.
struct RunningReader {
    keys: Arc<BlockedKeys>,
    task: AbortHandle,
}

impl BlockingFallback {
    pub(super) fn new(
        endpoint: Endpoint,
        hub: MultiplexedConnection,
        invalidations: Arc<Invalidations>,
    ) -> Self {
        Self {
            endpoint,
            hub,
            invalidations,
            readers: Vec::new(),
            keys_by_stream: HashMap::new(),
        }
    }

    pub(in crate::hub) fn handle(&mut self, request: FallbackRequest) {
        match request {
            FallbackRequest::Watch(stream, end) => self.watch(stream, end),
            FallbackRequest::Unwatch(stream) => {
                if let Some(keys) = self.keys_by_stream.remove(&stream) {
                    keys.remove(&stream);
                }
            }
        }
    }

    fn watch(&mut self, stream: Arc<[u8]>, end: EntryId) {
        if let Some(keys) = self.keys_by_stream.get(&stream)
            && keys.insert(&stream, end)
        {
            return;
        }
        self.readers.retain(|reader| !reader.keys.is_closed());
        let mut readers = self.readers.iter();
        let keys = match readers.find(|reader| reader.keys.insert(&stream, end)) {
            Some(reader) => Arc::clone(&reader.keys),
            None => {
                let keys = self.spawn_reader();
                keys.insert(&stream, end);
                keys
            }
        };
        self.keys_by_stream.insert(stream, keys);
    }

    fn spawn_reader(&mut self) -> Arc<BlockedKeys> {
        let keys = Arc::new(BlockedKeys::default());
        let reader = BlockingReader::new(
            self.endpoint.clone(),
            self.hub.clone(),
            Arc::clone(&self.invalidations),
            Arc::clone(&keys),
        );
        let task = tokio::spawn(reader.run()).abort_handle();
        self.readers.push(RunningReader {
            keys: Arc::clone(&keys),
            task,
        });
        keys
    }
}

impl Drop for RunningReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
