//! Where Redis refuses `CLIENT TRACKING`: invalidations made from `XREAD BLOCK` on connections of their
//! own.

pub(crate) mod blocked_keys;
pub(crate) mod blocking_reader;

use std::collections::HashMap;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::task::AbortHandle;

use crate::connection::endpoint::Endpoint;
use crate::hub::tracking::fallback::blocked_keys::BlockedKeys;
use crate::hub::tracking::fallback::blocking_reader::BlockingReader;
use crate::hub::tracking::invalidations::Invalidations;
use streamgate_protocol::EntryId;

/// What is to be done for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FallbackRequest {
    /// Tell of entries behind this id, once.
    Watch(Arc<str>, EntryId),
    /// Nobody waits for it any more.
    Unwatch(Arc<str>),
}

/// The connections on which reads block, and which stream is on which.
pub(crate) struct BlockingFallback {
    server: Endpoint,
    /// The hub's connection, on which nothing blocks.
    hub: MultiplexedConnection,
    invalidations: Arc<Invalidations>,
    running: Vec<Running>,
    places: HashMap<Arc<str>, Arc<BlockedKeys>>,
}

/// Ends its task when it is dropped, and with it the connection.
struct Running {
    keys: Arc<BlockedKeys>,
    task: AbortHandle,
}

impl BlockingFallback {
    pub(crate) fn new(
        server: Endpoint,
        hub: MultiplexedConnection,
        invalidations: Arc<Invalidations>,
    ) -> Self {
        Self {
            server,
            hub,
            invalidations,
            running: Vec::new(),
            places: HashMap::new(),
        }
    }

    pub(crate) fn handle(&mut self, arming: FallbackRequest) {
        match arming {
            FallbackRequest::Watch(stream, end) => self.arm(stream, end),
            FallbackRequest::Unwatch(stream) => {
                if let Some(keys) = self.places.remove(&stream) {
                    keys.remove(&stream);
                }
            }
        }
    }

    fn arm(&mut self, stream: Arc<str>, end: EntryId) {
        if let Some(keys) = self.places.get(&stream)
            && keys.insert(&stream, end)
        {
            return;
        }
        self.running.retain(|running| !running.keys.is_closed());
        let mut all = self.running.iter();
        let keys = match all.find(|running| running.keys.insert(&stream, end)) {
            Some(running) => Arc::clone(&running.keys),
            None => {
                let keys = self.start();
                keys.insert(&stream, end);
                keys
            }
        };
        self.places.insert(stream, keys);
    }

    fn start(&mut self) -> Arc<BlockedKeys> {
        let keys = Arc::new(BlockedKeys::default());
        let blocker = BlockingReader::new(
            self.server.clone(),
            self.hub.clone(),
            Arc::clone(&self.invalidations),
            Arc::clone(&keys),
        );
        let task = tokio::spawn(blocker.run()).abort_handle();
        self.running.push(Running {
            keys: Arc::clone(&keys),
            task,
        });
        keys
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
