//! Where Redis refuses `CLIENT TRACKING`: pushes made from `XREAD BLOCK` on connections of their
//! own.

pub(crate) mod blocking_reader;
pub(crate) mod keys;

use std::collections::HashMap;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::task::AbortHandle;

use crate::connection::endpoint::Endpoint;
use crate::hub::tracking::fallback::blocking_reader::Blocker;
use crate::hub::tracking::fallback::keys::Keys;
use crate::hub::tracking::invalidations::Pushes;
use streamgate_backend::entry_id::EntryId;

/// What is to be done for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arming {
    /// Tell of entries behind this id, once.
    Arm(Arc<str>, EntryId),
    /// Nobody waits for it any more.
    Disarm(Arc<str>),
}

/// The connections on which reads block, and which stream is on which.
pub(crate) struct Blockers {
    server: Endpoint,
    /// The hub's connection, on which nothing blocks.
    hub: MultiplexedConnection,
    pushes: Arc<Pushes>,
    running: Vec<Running>,
    places: HashMap<Arc<str>, Arc<Keys>>,
}

/// Ends its task when it is dropped, and with it the connection.
struct Running {
    keys: Arc<Keys>,
    task: AbortHandle,
}

impl Blockers {
    pub(crate) fn new(server: Endpoint, hub: MultiplexedConnection, pushes: Arc<Pushes>) -> Self {
        Self {
            server,
            hub,
            pushes,
            running: Vec::new(),
            places: HashMap::new(),
        }
    }

    pub(crate) fn handle(&mut self, arming: Arming) {
        match arming {
            Arming::Arm(stream, end) => self.arm(stream, end),
            Arming::Disarm(stream) => {
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

    fn start(&mut self) -> Arc<Keys> {
        let keys = Arc::new(Keys::default());
        let blocker = Blocker::new(
            self.server.clone(),
            self.hub.clone(),
            Arc::clone(&self.pushes),
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
