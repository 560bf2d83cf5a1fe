//! The current connection for commands, and its replacement when it is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult, Retry};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::missing_features::MissingFeatures;
use crate::connection::availability::RedisAvailability;
use crate::connection::command_connection::SendError;
use crate::connection::endpoint::Endpoint;
use crate::connection::host_port::HostPort;
use crate::connection::invalidations::Invalidations;
use crate::connection::reconnect_pause::ReconnectPause;
use crate::connection::resp::{Answers, ClientId, OpenedConnection, RespConnection, ServerFacts};
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::script_access::ScriptAccess;
use crate::wire::{commands, errors};

/// The only `maxmemory-policy` that evicts nothing.
const NO_EVICTION: &str = "noeviction";

/// Owns the connection. Tasks hold it weakly: it ends with the last handle.
pub(in crate::connection) struct ConnectionSupervisor {
    endpoint: Endpoint,
    availability: RedisAvailability,
    invalidations: Arc<Invalidations>,
    status: watch::Sender<ConnectionStatus>,
    current: Mutex<CurrentConnection>,
    missing_features: Mutex<MissingFeatures>,
    /// Whether Redis runs the script of idempotent adds.
    dedup: ScriptAccess,
    scripts: ScriptAccess,
    has_stream_info: AtomicBool,
    windows_may_be_evicted: AtomicBool,
    tracks: AtomicBool,
}

/// The generation tells the end of an earlier connection from that of its successor.
struct CurrentConnection {
    generation: u64,
    /// Absent while the connection is being replaced.
    connection: Option<RespConnection>,
    /// The connection, or the one before it, as Redis knows it.
    client: Option<ClientId>,
    /// Where it leads, if Sentinels said it.
    server: Option<HostPort>,
    pause: ReconnectPause,
}

/// What the hub has to know of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionStatus {
    /// How many connections were replaced.
    pub(crate) generation: u64,
    pub(crate) is_up: bool,
    /// Whether Redis pushes invalidations on this connection.
    pub(crate) tracks: bool,
    /// Pings that Redis has answered on this connection, every [`PING_EVERY`](super::PING_EVERY).
    pub(crate) pongs: u64,
}

impl ConnectionSupervisor {
    /// Opens the first connection. If Redis is unavailable and `is_lazy`, the attempts go on.
    pub(super) async fn connect(endpoint: Endpoint, is_lazy: bool) -> CacheResult<Arc<Self>> {
        let supervisor = Arc::new(Self {
            endpoint,
            availability: RedisAvailability::default(),
            invalidations: Arc::default(),
            status: watch::Sender::new(ConnectionStatus {
                generation: 0,
                is_up: false,
                tracks: false,
                pongs: 0,
            }),
            current: Mutex::new(CurrentConnection {
                generation: 0,
                connection: None,
                client: None,
                server: None,
                pause: ReconnectPause::new(),
            }),
            missing_features: Mutex::default(),
            dedup: ScriptAccess::default(),
            scripts: ScriptAccess::default(),
            has_stream_info: AtomicBool::new(true),
            windows_may_be_evicted: AtomicBool::new(false),
            tracks: AtomicBool::new(false),
        });
        let opened = open(&Arc::downgrade(&supervisor), 0).await;
        // The supervisor is there, so there is a result.
        match opened.unwrap_or_else(|| Err(errors::disconnected())) {
            Ok(opened) => supervisor.connected(0, opened),
            Err(error) if is_lazy && error.retry() == Retry::Later => {
                tracing::warn!(%error, "waiting for Redis");
                supervisor.availability.set_unavailable(error);
                tokio::spawn(reconnect(Arc::downgrade(&supervisor), 0));
            }
            Err(error) => {
                return Err(errors::of_settings(error, &supervisor.endpoint.address()));
            }
        }
        Ok(supervisor)
    }

    pub(in crate::connection) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns where the current connection leads, if Sentinels said it.
    pub(in crate::connection) fn server(&self) -> Option<HostPort> {
        let current = self.current();
        current.connection.as_ref().and(current.server.clone())
    }

    /// Returns where the current connection leads, or last led.
    pub(super) fn address(&self) -> String {
        let server = self.current().server.as_ref().map(HostPort::to_string);
        server.unwrap_or_else(|| self.endpoint.address())
    }

    pub(super) const fn availability(&self) -> &RedisAvailability {
        &self.availability
    }

    pub(super) const fn invalidations(&self) -> &Arc<Invalidations> {
        &self.invalidations
    }

    /// Returns a receiver of the connection's status.
    pub(super) fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.status.subscribe()
    }

    /// Returns whether Redis pushes the next change of a key that a read has armed.
    pub(super) fn tracks(&self) -> bool {
        self.tracks.load(Ordering::Relaxed)
    }

    pub(super) const fn dedup(&self) -> &ScriptAccess {
        &self.dedup
    }

    pub(super) fn has_stream_info(&self) -> bool {
        self.has_stream_info.load(Ordering::Relaxed)
    }

    pub(super) const fn scripts(&self) -> &ScriptAccess {
        &self.scripts
    }

    pub(super) fn windows_may_be_evicted(&self) -> bool {
        self.windows_may_be_evicted.load(Ordering::Relaxed)
    }

    /// Sends commands on the current connection, at once. Returns its generation too.
    pub(super) fn send(
        &self,
        packed: PackedCommands,
        permit: Option<OwnedSemaphorePermit>,
    ) -> (
        u64,
        Result<impl Future<Output = Answers> + Send + use<>, SendError>,
    ) {
        let current = self.current();
        let sent = match &current.connection {
            Some(connection) => connection.send(packed, permit).map_err(SendError::from),
            None => Err(SendError::NotSent(self.availability.no_connection())),
        };
        let is_sent = u64::from(sent.is_ok());
        self.endpoint.counters().round_trips.add(is_sent);
        (current.generation, sent)
    }

    /// Does the same with what `encode` writes, in one step: no other command is sent while it
    /// runs.
    pub(super) fn send_encoded(
        &self,
        encode: &mut dyn FnMut(&mut PackedCommands),
    ) -> (
        u64,
        Result<impl Future<Output = Answers> + Send + use<>, SendError>,
    ) {
        let current = self.current();
        let sent = match &current.connection {
            Some(connection) => {
                let sent = connection.send_encoded(encode);
                sent.map_err(|_| SendError::NotSent(errors::disconnected()))
            }
            None => Err(SendError::NotSent(self.availability.no_connection())),
        };
        let is_sent = u64::from(sent.is_ok());
        self.endpoint.counters().round_trips.add(is_sent);
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
            Some(why) => self.availability.set_unavailable(why),
            None => self.availability.set_available(),
        }
        self.status.send_modify(|status| status.pongs += 1);
    }

    /// Puts a new connection in place of that of a generation, unless the latter is gone already.
    /// What was sent on the old connection is still answered there.
    pub(super) fn replace(self: &Arc<Self>, generation: u64, opened: OpenedConnection) -> bool {
        let connection = opened.connection.clone();
        {
            let mut current = self.current();
            if !current.is(generation) {
                return false;
            }
            current.generation += 1;
            self.install(&mut current, opened);
        }
        self.check(&connection, generation + 1);
        true
    }

    fn current(&self) -> MutexGuard<'_, CurrentConnection> {
        // Nothing panics under the lock.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(self: &Arc<Self>, generation: u64, opened: OpenedConnection) {
        let connection = opened.connection.clone();
        self.install(&mut self.current(), opened);
        self.check(&connection, generation);
    }

    fn install(&self, current: &mut CurrentConnection, opened: OpenedConnection) {
        let OpenedConnection {
            connection,
            server,
            facts,
        } = opened;
        self.record_facts(&facts);
        current.connection = Some(connection);
        current.client = facts.client;
        current.server = server;
        current.pause.connected();
        self.availability.set_available();
        self.status.send_replace(ConnectionStatus {
            generation: current.generation,
            is_up: true,
            tracks: self.tracks(),
            pongs: 0,
        });
    }

    /// Replaces a connection that ended before it was in place, when there was nothing to replace.
    fn check(self: &Arc<Self>, connection: &RespConnection, generation: u64) {
        if connection.is_lost() {
            self.lost(generation);
        }
    }

    fn record_facts(&self, facts: &ServerFacts) {
        self.missing_features().report(facts);
        self.dedup.set_allowed(facts.dedup_refusal.is_none());
        self.scripts.set_allowed(facts.eval_refusal.is_none());
        self.has_stream_info
            .store(facts.stream_info_refusal.is_none(), Ordering::Relaxed);
        self.tracks
            .store(facts.tracking_refusal.is_none(), Ordering::Relaxed);
        self.record_eviction_policy(facts.eviction_policy.as_deref());
    }

    /// Every policy but `noeviction` may evict a dedup window: it has a time-to-live, so the
    /// `volatile` ones may too. `maxmemory` may be set later, so it does not count.
    fn record_eviction_policy(&self, policy: Option<&str>) {
        let may_evict = policy != Some(NO_EVICTION);
        let might_before = self
            .windows_may_be_evicted
            .swap(may_evict, Ordering::Relaxed);
        let Some(policy) = policy.filter(|_| may_evict && !might_before) else {
            return;
        };
        let endangers_streams = policy.starts_with("allkeys");
        if endangers_streams || self.dedup.is_allowed() {
            let endangered = match endangers_streams {
                true => "whole streams with their groups, and the keys that remember adds",
                false => "keys with a time-to-live: those that remember adds",
            };
            tracing::warn!(
                policy,
                "Redis may evict {endangered}; a repeated add of a producer that is not remembered \
                 has an unknown outcome; set maxmemory-policy to noeviction"
            );
        }
    }

    fn missing_features(&self) -> MutexGuard<'_, MissingFeatures> {
        let missing = self.missing_features.lock();
        // Nothing panics under the lock.
        missing.unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the connection of that generation, unless it is being replaced already.
    fn lost(self: &Arc<Self>, generation: u64) {
        {
            let mut current = self.current();
            // An attempt of this generation that failed late is not the connection in use.
            let is_in_use = current.is(generation);
            if !is_in_use
                || !current
                    .connection
                    .as_ref()
                    .is_some_and(RespConnection::is_lost)
            {
                return;
            }
            current.generation += 1;
            current.connection = None;
            self.availability.set_unavailable(errors::disconnected());
            self.status.send_replace(ConnectionStatus {
                generation: current.generation,
                is_up: false,
                tracks: self.tracks(),
                pongs: 0,
            });
        }
        let address = self.address();
        tracing::warn!(address, "lost the connection to Redis: reconnecting");
        tokio::spawn(reconnect(Arc::downgrade(self), generation + 1));
    }
}

impl CurrentConnection {
    /// Returns whether the connection of that generation is still in use.
    const fn is(&self, generation: u64) -> bool {
        self.generation == generation && self.connection.is_some()
    }
}

/// Opens a connection whose loss the supervisor learns. Returns `None` once the supervisor is gone.
pub(super) async fn open(
    supervisor: &Weak<ConnectionSupervisor>,
    generation: u64,
) -> Option<CacheResult<OpenedConnection>> {
    let (endpoint, invalidations) = {
        let supervisor = supervisor.upgrade()?;
        (
            supervisor.endpoint.clone(),
            Arc::clone(&supervisor.invalidations),
        )
    };
    let supervisor = Weak::clone(supervisor);
    let on_lost = move || {
        if let Some(supervisor) = supervisor.upgrade() {
            supervisor.lost(generation);
        }
    };
    Some(RespConnection::open(&endpoint, Some(invalidations), on_lost).await)
}

/// Tries to connect until that succeeds, or until the last handle is dropped. Pauses before the
/// first attempt too, unless the lost connection was stable.
async fn reconnect(supervisor: Weak<ConnectionSupervisor>, generation: u64) {
    let mut reported = None;
    loop {
        let next_pause = || Some(supervisor.upgrade()?.current().pause.next_pause());
        let Some(pause) = next_pause() else {
            return;
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let Some(attempt) = open(&supervisor, generation).await else {
            return;
        };
        let lost_client = || supervisor.upgrade()?.current().client.clone();
        if let (Ok(opened), Some(lost)) = (&attempt, lost_client()) {
            kill_lost_connection(opened, &lost).await;
        }
        let Some(supervisor) = supervisor.upgrade() else {
            return;
        };
        match attempt {
            Ok(opened) => {
                supervisor.endpoint.counters().reconnects.add(1);
                supervisor.connected(generation, opened);
                let address = supervisor.address();
                tracing::info!(address, "connected to Redis");
                return;
            }
            Err(error) => {
                let explained = errors::of_settings(error.clone(), &supervisor.endpoint.address());
                if explained.code() == code::CONFIG && reported.as_ref() != Some(&explained) {
                    tracing::warn!(error = %explained, "cannot connect to Redis");
                    reported = Some(explained);
                } else {
                    tracing::debug!(%error, "cannot connect to Redis yet");
                }
                supervisor.availability.set_unavailable(error);
            }
        }
    }
}

/// Closes the lost connection at Redis, if it may still be open there. Otherwise commands that
/// Redis has not read yet, such as an `XREADGROUP`, could run after the recovery of what was lost.
///
/// An access list may forbid it; then they may.
async fn kill_lost_connection(opened: &OpenedConnection, lost: &ClientId) {
    let same_run = |client: &ClientId| client.run_id == lost.run_id && client.id != lost.id;
    if opened.facts.client.as_ref().is_some_and(same_run) {
        let mut packed = PackedCommands::default();
        commands::kill_client(&mut packed, lost.id);
        if let Ok(answer) = opened.connection.send(packed, None) {
            // If this connection is lost as well, another attempt follows.
            let _ = answer.await;
        }
    }
}
