//! The connection that carries all six operations; it comes back by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use redis::{RedisError, Value};
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::Semaphore;

use super::connection::{Backoff, Server};
use super::error;
use super::hold::Hold;
use super::once::Reminders;
use super::resp::{Connection, Opened, Packed};

/// Pipelines that are under way, at most: far more than it takes to keep Redis busy.
pub(super) const MAX_PIPELINES: usize = 64 * 1024;

/// Shares one connection among all callers.
#[derive(Clone)]
pub(super) struct Commands(Arc<Shared>);

/// Why there are no answers.
pub(super) enum Failure {
    /// There is no connection, or too much is under way on it; nothing was sent.
    NotSent(CacheError),
    /// It was sent, or may have been.
    NoAnswer(RedisError),
}

struct Shared {
    server: Server,
    hold: Hold,
    slot: Mutex<Slot>,
    reminders: Reminders,
    /// Redis lets scripts remember what was added.
    remembers: AtomicBool,
    /// A permit for each pipeline that may still be sent.
    pipelines: Semaphore,
}

/// A connection's generation tells the news of an old one's end from that of its successor's.
struct Slot {
    generation: u64,
    connection: Option<Connection>,
}

impl Failure {
    /// As the caller of an operation is told, which may only read.
    pub(super) fn error(&self, read_only: bool) -> CacheError {
        match self {
            Self::NotSent(error) => error.clone(),
            Self::NoAnswer(error) => error::unanswered(error, read_only),
        }
    }
}

impl Commands {
    /// What is sent waits while it is held back.
    pub(super) async fn connect(
        server: Server,
        hold: Hold,
        max_pipelines: usize,
    ) -> CacheResult<Self> {
        let slot = Mutex::new(Slot {
            generation: 0,
            connection: None,
        });
        let pipelines = Semaphore::new(max_pipelines);
        let shared = Arc::new(Shared {
            server,
            hold,
            slot,
            reminders: Reminders::default(),
            remembers: AtomicBool::new(true),
            pipelines,
        });
        let opened = attempt(&shared.server, &shared.hold, Arc::downgrade(&shared), 0).await?;
        shared.connected(opened);
        Ok(Self(shared))
    }

    /// With what adds are done once; nothing if Redis does not allow that.
    pub(super) fn reminders(&self) -> Option<&Reminders> {
        let remembers = self.0.remembers.load(Ordering::Relaxed);
        remembers.then_some(&self.0.reminders)
    }

    /// Sends commands as one pipeline. They are queued before this future first yields, so that
    /// Redis carries out pipelines in the order in which their futures were first polled.
    pub(super) async fn send(&self, packed: Packed) -> Result<Vec<Value>, Failure> {
        let Ok(_place) = self.0.pipelines.try_acquire() else {
            return Err(Failure::NotSent(error::overloaded()));
        };
        let sent = {
            let slot = self.0.slot();
            slot.connection
                .as_ref()
                .map(|connection| connection.send(packed))
        };
        let disconnected = || Failure::NotSent(error::disconnected(&self.0.server.address()));
        sent.ok_or_else(disconnected)?
            .await
            .map_err(Failure::NoAnswer)
    }
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Nothing that can panic happens under the lock.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(
        &self,
        Opened {
            connection,
            refused,
        }: Opened,
    ) {
        if let Some(error) = &refused {
            tracing::warn!(%error, "Redis refuses scripts: adds whose answer is lost stay unknown");
        }
        self.remembers.store(refused.is_none(), Ordering::Relaxed);
        self.slot().connection = Some(connection);
    }

    /// Replaces the connection of that generation, unless it is being replaced already.
    fn lost(self: &Arc<Self>, generation: u64) {
        {
            let mut slot = self.slot();
            if slot.generation != generation || slot.connection.is_none() {
                return;
            }
            slot.generation += 1;
            slot.connection = None;
        }
        tracing::warn!(
            address = self.server.address(),
            "lost a connection to Redis"
        );
        tokio::spawn(reconnect(Arc::downgrade(self), generation + 1));
    }
}

/// Ends with a connection, or with the last handle.
async fn reconnect(shared: Weak<Shared>, generation: u64) {
    let mut backoff = Backoff::new();
    loop {
        let parts = shared.upgrade();
        let parts = parts.map(|shared| (shared.server.clone(), shared.hold.clone()));
        let Some((server, hold)) = parts else {
            return;
        };
        match attempt(&server, &hold, shared.clone(), generation).await {
            Ok(connection) => {
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                tracing::info!(address = server.address(), "connected to Redis again");
                shared.connected(connection);
                return;
            }
            Err(error) => tracing::debug!(%error, "cannot connect to Redis yet"),
        }
        backoff.pause().await;
    }
}

async fn attempt(
    server: &Server,
    hold: &Hold,
    shared: Weak<Shared>,
    generation: u64,
) -> CacheResult<Opened> {
    let ended = move || {
        if let Some(shared) = shared.upgrade() {
            shared.lost(generation);
        }
    };
    Connection::open(server.info(), hold.clone(), ended).await
}
