//! The connection that carries all six operations; it comes back by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::{RedisError, Value};
use streamgate_protocol::{CacheError, CacheResult, Retry};
use tokio::sync::Semaphore;

use crate::connection::availability::{ConnectionKind, RedisAvailability};
use crate::connection::barrier::Barrier;
use crate::connection::endpoint::Endpoint;
use crate::connection::reconnect_pause::ReconnectPause;
use crate::connection::resp::{OpenConnection, PackedCommands, RespConnection, refusal};
use crate::operation::idempotent_add::TtlRefresh;
use crate::wire::{commands, errors};

/// Pipelines that are under way, at most: far more than it takes to keep Redis busy.
pub(crate) const MAX_PIPELINES: usize = 64 * 1024;

/// How often Redis is asked whether it is there. One that closes its connections is noticed at once,
/// and one that hangs, of which nobody asks anything, within this and [`RESPONSE_TIMEOUT`](super::RESPONSE_TIMEOUT).
pub const PING_EVERY: Duration = Duration::from_secs(2);

/// Pause before a Redis that refuses writes is looked for under its name once more.
const RECONNECT_TO_MASTER_PAUSE: Duration = Duration::from_secs(1);

/// Shares one connection among all callers.
#[derive(Clone)]
pub(crate) struct CommandConnection(Arc<ConnectionSupervisor>);

/// Why there are no answers.
pub(crate) enum SendError {
    /// There is no connection, or too much is under way on it; nothing was sent.
    NotSent(CacheError),
    /// It was sent, or may have been.
    NoAnswer(RedisError),
}

struct ConnectionSupervisor {
    endpoint: Endpoint,
    barrier: Barrier,
    slot: Mutex<CurrentConnection>,
    availability: RedisAvailability,
    ttl_refresh: TtlRefresh,
    /// Redis lets scripts remember what was added.
    remembers: AtomicBool,
    /// A permit for each pipeline that may still be sent.
    pipelines: Semaphore,
}

/// A connection's generation tells the news of an old one's end from that of its successor's.
struct CurrentConnection {
    generation: u64,
    connection: Option<RespConnection>,
}

impl SendError {
    /// As the caller of an operation is told, which may only read.
    pub(crate) fn error(&self, read_only: bool) -> CacheError {
        match self {
            Self::NotSent(error) => error.clone(),
            Self::NoAnswer(error) => errors::unanswered(error, read_only),
        }
    }
}

impl CommandConnection {
    /// What is sent waits while it is held back.
    pub(crate) async fn connect(
        endpoint: Endpoint,
        barrier: Barrier,
        availability: RedisAvailability,
        max_pipelines: usize,
    ) -> CacheResult<Self> {
        let slot = Mutex::new(CurrentConnection {
            generation: 0,
            connection: None,
        });
        let pipelines = Semaphore::new(max_pipelines);
        let shared = Arc::new(ConnectionSupervisor {
            endpoint,
            barrier,
            slot,
            availability,
            ttl_refresh: TtlRefresh::default(),
            remembers: AtomicBool::new(true),
            pipelines,
        });
        let opened = attempt(
            &shared.endpoint,
            &shared.barrier,
            Arc::downgrade(&shared),
            0,
        )
        .await?;
        shared.connected(0, opened);
        tokio::spawn(ping(Arc::downgrade(&shared)));
        tokio::spawn(watch_for_failover(Arc::downgrade(&shared)));
        Ok(Self(shared))
    }

    /// With what adds are done once; nothing if Redis does not allow that.
    pub(crate) fn ttl_refresh(&self) -> Option<&TtlRefresh> {
        let remembers = self.0.remembers.load(Ordering::Relaxed);
        remembers.then_some(&self.0.ttl_refresh)
    }

    pub(crate) fn availability(&self) -> &RedisAvailability {
        &self.0.availability
    }

    /// Sends commands as one pipeline. They are queued before this future first yields, so that
    /// Redis carries out pipelines in the order in which their futures were first polled.
    pub(crate) async fn send(&self, packed: PackedCommands) -> Result<Vec<Value>, SendError> {
        let Ok(_place) = self.0.pipelines.try_acquire() else {
            return Err(SendError::NotSent(errors::overloaded()));
        };
        let sent = {
            let slot = self.0.slot();
            slot.connection
                .as_ref()
                .map(|connection| connection.send(packed))
        };
        let disconnected = || SendError::NotSent(self.0.disconnected());
        let answers = sent.ok_or_else(disconnected)?.await;
        if let Ok(answers) = &answers
            && answers.iter().any(errors::is_read_only)
        {
            self.0.endpoint.suspect_failover();
        }
        answers.map_err(SendError::NoAnswer)
    }
}

impl ConnectionSupervisor {
    fn slot(&self) -> MutexGuard<'_, CurrentConnection> {
        // Nothing that can panic happens under the lock.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(
        self: &Arc<Self>,
        generation: u64,
        OpenConnection {
            connection,
            refused,
        }: OpenConnection,
    ) {
        if let Some(error) = &refused {
            tracing::warn!(%error, "Redis refuses scripts: adds whose answer is lost stay unknown");
        }
        self.remembers.store(refused.is_none(), Ordering::Relaxed);
        {
            let mut slot = self.slot();
            slot.connection = Some(connection.clone());
            self.availability.set_available(ConnectionKind::Commands);
        }
        // Its end may have been told before there was anything to replace.
        if connection.is_lost() {
            self.lost(generation);
        }
    }

    /// What a caller is told while there is no connection: why, if that passes by itself.
    fn disconnected(&self) -> CacheError {
        let why = self.availability.reason(ConnectionKind::Commands);
        why.filter(|why| why.retry() == Retry::Later)
            .unwrap_or_else(errors::disconnected)
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
            let why = errors::disconnected();
            self.availability
                .set_unavailable(ConnectionKind::Commands, why);
        }
        tracing::warn!(
            address = self.endpoint.address(),
            "lost a connection to Redis"
        );
        tokio::spawn(reconnect(Arc::downgrade(self), generation + 1));
    }

    /// Takes what was answered to a ping on the connection of that generation.
    fn pinged(&self, generation: u64, refused: Option<CacheError>) {
        let slot = self.slot();
        if slot.generation != generation || slot.connection.is_none() {
            return;
        }
        match refused.filter(errors::serves_nobody) {
            Some(why) => self
                .availability
                .set_unavailable(ConnectionKind::Commands, why),
            None => self.availability.set_available(ConnectionKind::Commands),
        }
    }
}

/// Ends with a connection, or with the last handle.
async fn reconnect(shared: Weak<ConnectionSupervisor>, generation: u64) {
    let mut backoff = ReconnectPause::new();
    loop {
        let parts = shared.upgrade();
        let parts = parts.map(|shared| (shared.endpoint.clone(), shared.barrier.clone()));
        let Some((endpoint, barrier)) = parts else {
            return;
        };
        let attempted = attempt(&endpoint, &barrier, shared.clone(), generation).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match attempted {
            Ok(opened) => {
                tracing::info!(address = endpoint.address(), "connected to Redis again");
                shared.connected(generation, opened);
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot connect to Redis yet");
                shared
                    .availability
                    .set_unavailable(ConnectionKind::Commands, error);
            }
        }
        drop(shared);
        backoff.pause().await;
    }
}

/// Looks for another Redis under the same name when there is a suspected, until the last handle is gone.
async fn watch_for_failover(shared: Weak<ConnectionSupervisor>) {
    while let Some(endpoint) = shared.upgrade().map(|shared| shared.endpoint.clone()) {
        // Who waits longer than that may be the last.
        let suspected = tokio::time::timeout(PING_EVERY, endpoint.failover_suspected()).await;
        if suspected.is_ok() {
            reconnect_to_master(&shared, &endpoint).await;
            tokio::time::sleep(RECONNECT_TO_MASTER_PAUSE).await;
        }
    }
}

/// Replaces the connection by one to a Redis that takes writes, if there is one under the same name.
/// What was sent on the old one is answered there.
async fn reconnect_to_master(shared: &Weak<ConnectionSupervisor>, endpoint: &Endpoint) {
    let Some((generation, barrier)) = shared
        .upgrade()
        .map(|shared| (shared.slot().generation, shared.barrier.clone()))
    else {
        return;
    };
    let Ok(opened) = attempt(endpoint, &barrier, shared.clone(), generation + 1).await else {
        return;
    };
    let mut packed = PackedCommands::default();
    commands::role(&mut packed);
    let Ok(mut answers) = opened.connection.send(packed).await else {
        return;
    };
    let (Some(shared), Some(role)) = (shared.upgrade(), answers.pop()) else {
        return;
    };
    {
        let mut slot = shared.slot();
        if is_replica(&role) || slot.generation != generation || slot.connection.is_none() {
            return;
        }
        slot.generation += 1;
    }
    tracing::warn!(address = endpoint.address(), "Redis has moved");
    shared.connected(generation + 1, opened);
    endpoint.announce_new_master();
}

/// Whoever may not ask that finds out by the next write.
fn is_replica(role: &Value) -> bool {
    let Value::Array(parts) = role else {
        return false;
    };
    matches!(parts.first(), Some(Value::BulkString(name)) if name == b"slave")
}

/// Asks Redis now and then whether it is there, until the last handle is gone. That it gives no
/// answer is noticed by the connection itself.
async fn ping(shared: Weak<ConnectionSupervisor>) {
    loop {
        tokio::time::sleep(PING_EVERY).await;
        let Some(asked) = shared.upgrade().map(|shared| {
            let slot = shared.slot();
            let mut packed = PackedCommands::default();
            commands::ping(&mut packed);
            let sent = slot.connection.as_ref().map(|it| it.send(packed));
            (slot.generation, sent)
        }) else {
            return;
        };
        if let (generation, Some(sent)) = asked
            && let Ok(mut answers) = sent.await
            && let Some(shared) = shared.upgrade()
        {
            shared.pinged(generation, answers.pop().and_then(refusal));
        }
    }
}

async fn attempt(
    endpoint: &Endpoint,
    barrier: &Barrier,
    shared: Weak<ConnectionSupervisor>,
    generation: u64,
) -> CacheResult<OpenConnection> {
    let ended = move || {
        if let Some(shared) = shared.upgrade() {
            shared.lost(generation);
        }
    };
    RespConnection::open(endpoint.info(), barrier.clone(), ended).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Answers a sign-in in one go with all that is done then.
    async fn sign_in(listener: &TcpListener) -> TcpStream {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"PING\r\n") {
            socket.read_buf(&mut asked).await.unwrap();
        }
        let answers = b"+hello\r\n+loaded\r\n+PONG\r\n";
        socket.write_all(answers).await.unwrap();
        socket
    }

    #[tokio::test]
    async fn a_connection_that_ends_right_behind_its_sign_in_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let connecting = CommandConnection::connect(
            Endpoint::new(&url).unwrap(),
            Barrier::default(),
            RedisAvailability::default(),
            1,
        );
        let (commands, ()) = tokio::join!(connecting, sign_in(&listener).map(drop));
        let _commands = commands.unwrap_or_else(|error| panic!("{error}"));
        let again = tokio::time::timeout(Duration::from_secs(10), sign_in(&listener));
        again.await.unwrap();
    }
}
