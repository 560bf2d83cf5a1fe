//! The current connection for commands, and its replacement when it is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use streamgate_protocol::{CacheError, CacheResult, Retry};

use crate::connection::availability::{ConnectionKind, RedisAvailability};
use crate::connection::barrier::Barrier;
use crate::connection::endpoint::Endpoint;
use crate::connection::reconnect_pause::ReconnectPause;
use crate::connection::resp::{Answers, OpenedConnection, RespConnection};
use crate::wire::errors;
use crate::wire::packing::PackedCommands;

/// The only `maxmemory-policy` that evicts nothing.
const NO_EVICTION: &str = "noeviction";

/// Owns the connection. Tasks hold it weakly: it ends with the last handle.
pub(super) struct ConnectionSupervisor {
    endpoint: Endpoint,
    barrier: Barrier,
    availability: RedisAvailability,
    current: Mutex<CurrentConnection>,
    accepts_scripts: AtomicBool,
    windows_may_be_evicted: AtomicBool,
}

/// The generation tells the end of an earlier connection from that of its successor.
struct CurrentConnection {
    generation: u64,
    /// Absent while the connection is being replaced.
    connection: Option<RespConnection>,
    pause: ReconnectPause,
}

impl ConnectionSupervisor {
    /// Opens the first connection.
    pub(super) async fn connect(
        endpoint: Endpoint,
        barrier: Barrier,
        availability: RedisAvailability,
    ) -> CacheResult<Arc<Self>> {
        let supervisor = Arc::new(Self {
            endpoint,
            barrier,
            availability,
            current: Mutex::new(CurrentConnection {
                generation: 0,
                connection: None,
                pause: ReconnectPause::new(),
            }),
            accepts_scripts: AtomicBool::new(true),
            windows_may_be_evicted: AtomicBool::new(false),
        });
        let (endpoint, barrier) = (&supervisor.endpoint, &supervisor.barrier);
        let opened = open(endpoint, barrier, Arc::downgrade(&supervisor), 0).await?;
        supervisor.connected(0, opened);
        Ok(supervisor)
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) const fn availability(&self) -> &RedisAvailability {
        &self.availability
    }

    pub(super) fn accepts_scripts(&self) -> bool {
        self.accepts_scripts.load(Ordering::Relaxed)
    }

    pub(super) fn windows_may_be_evicted(&self) -> bool {
        self.windows_may_be_evicted.load(Ordering::Relaxed)
    }

    /// Sends commands on the current connection, at once.
    ///
    /// # Errors
    ///
    /// There is no connection, so nothing was sent.
    pub(super) fn send(
        &self,
        packed: PackedCommands,
    ) -> CacheResult<impl Future<Output = Answers> + Send + use<>> {
        self.send_with_generation(packed).1
    }

    /// Does the same, and returns the generation of the connection.
    pub(super) fn send_with_generation(
        &self,
        packed: PackedCommands,
    ) -> (
        u64,
        CacheResult<impl Future<Output = Answers> + Send + use<>>,
    ) {
        let current = self.current();
        let sent = match &current.connection {
            Some(connection) => Ok(connection.send(packed)),
            None => Err(self.no_connection()),
        };
        (current.generation, sent)
    }

    /// Returns the generation of the current connection, which may be in the making.
    pub(super) fn generation(&self) -> u64 {
        self.current().generation
    }

    /// Records whether Redis serves on the connection of that generation: `refusal` is its answer
    /// to a `PING`, if that was an error.
    pub(super) fn record_ping(&self, generation: u64, refusal: Option<CacheError>) {
        let current = self.current();
        if !current.is(generation) {
            return;
        }
        match refusal.filter(errors::serves_nobody) {
            Some(why) => {
                self.availability
                    .set_unavailable(ConnectionKind::Commands, why);
            }
            None => self.availability.set_available(ConnectionKind::Commands),
        }
    }

    /// Puts a new connection in place of that of a generation, unless the latter is gone already.
    /// What was sent on the old connection is still answered there.
    pub(super) fn replace(self: &Arc<Self>, generation: u64, opened: OpenedConnection) -> bool {
        {
            let mut current = self.current();
            if !current.is(generation) {
                return false;
            }
            current.generation += 1;
        }
        self.connected(generation + 1, opened);
        true
    }

    fn current(&self) -> MutexGuard<'_, CurrentConnection> {
        // Nothing panics under the lock.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(self: &Arc<Self>, generation: u64, opened: OpenedConnection) {
        let OpenedConnection {
            connection,
            script_refusal,
            eviction_policy,
        } = opened;
        if let Some(error) = &script_refusal {
            tracing::warn!(
                %error,
                "Redis refuses scripts: an add whose answer is lost has an unknown outcome"
            );
        }
        self.accepts_scripts
            .store(script_refusal.is_none(), Ordering::Relaxed);
        self.record_eviction_policy(eviction_policy.as_deref());
        {
            let mut current = self.current();
            current.connection = Some(connection.clone());
            current.pause.connected();
            self.availability.set_available(ConnectionKind::Commands);
        }
        // It may have ended before it was in place, when there was nothing to replace.
        if connection.is_lost() {
            self.lost(generation);
        }
    }

    /// Every policy but `noeviction` may evict a dedup window: it has a time-to-live, so the
    /// `volatile` ones may too. `maxmemory` may be set later, so it does not count.
    fn record_eviction_policy(&self, policy: Option<&str>) {
        let may_evict = policy != Some(NO_EVICTION);
        let might_before = self
            .windows_may_be_evicted
            .swap(may_evict, Ordering::Relaxed);
        if may_evict && !might_before && self.accepts_scripts() {
            let policy = policy.unwrap_or("unknown");
            tracing::warn!(
                policy,
                "Redis may evict the keys that remember adds: a repeated add of a producer that is \
                 not remembered has an unknown outcome; set maxmemory-policy to noeviction"
            );
        }
    }

    /// Returns the error of an operation that finds no connection: why there is none, if that is
    /// temporary.
    fn no_connection(&self) -> CacheError {
        let why = self.availability.reason(ConnectionKind::Commands);
        why.filter(|why| why.retry() == Retry::Later)
            .unwrap_or_else(errors::disconnected)
    }

    /// Replaces the connection of that generation, unless it is being replaced already.
    fn lost(self: &Arc<Self>, generation: u64) {
        {
            let mut current = self.current();
            if !current.is(generation) {
                return;
            }
            current.generation += 1;
            current.connection = None;
            self.availability
                .set_unavailable(ConnectionKind::Commands, errors::disconnected());
        }
        let address = self.endpoint.address();
        tracing::warn!(address, "lost the connection for commands");
        tokio::spawn(reconnect(Arc::downgrade(self), generation + 1));
    }
}

impl CurrentConnection {
    /// Returns whether the connection of that generation is still in use.
    const fn is(&self, generation: u64) -> bool {
        self.generation == generation && self.connection.is_some()
    }
}

/// Opens a connection whose loss the supervisor learns.
pub(super) async fn open(
    endpoint: &Endpoint,
    barrier: &Barrier,
    supervisor: Weak<ConnectionSupervisor>,
    generation: u64,
) -> CacheResult<OpenedConnection> {
    let on_lost = move || {
        if let Some(supervisor) = supervisor.upgrade() {
            supervisor.lost(generation);
        }
    };
    RespConnection::open(endpoint, barrier.clone(), on_lost).await
}

/// Tries to connect until that succeeds, or until the last handle is dropped. Pauses before the
/// first attempt too, unless the lost connection was stable.
async fn reconnect(supervisor: Weak<ConnectionSupervisor>, generation: u64) {
    loop {
        let next_pause = || Some(supervisor.upgrade()?.current().pause.next_pause());
        let Some(pause) = next_pause() else {
            return;
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let Some((endpoint, barrier)) = parts(&supervisor) else {
            return;
        };
        let attempt = open(&endpoint, &barrier, supervisor.clone(), generation).await;
        let Some(supervisor) = supervisor.upgrade() else {
            return;
        };
        match attempt {
            Ok(opened) => {
                let address = endpoint.address();
                tracing::info!(address, "reconnected for commands");
                supervisor.connected(generation, opened);
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot reconnect for commands yet");
                supervisor
                    .availability
                    .set_unavailable(ConnectionKind::Commands, error);
            }
        }
    }
}

/// Returns what it takes to connect, without keeping the supervisor alive.
pub(super) fn parts(supervisor: &Weak<ConnectionSupervisor>) -> Option<(Endpoint, Barrier)> {
    let supervisor = supervisor.upgrade()?;
    Some((supervisor.endpoint.clone(), supervisor.barrier.clone()))
}
