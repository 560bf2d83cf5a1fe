//! The connection that carries all six operations; it comes back by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::{RedisError, Value};
use streamgate_protocol::{CacheError, CacheResult, Retry};
use tokio::sync::Semaphore;

use crate::connection::availability::{Availability, Way};
use crate::connection::barrier::Hold;
use crate::connection::endpoint::{Backoff, Server};
use crate::connection::resp::{Connection, Opened, Packed, refusal};
use crate::operation::idempotent_add::Reminders;
use crate::wire::{commands, errors};

/// Pipelines that are under way, at most: far more than it takes to keep Redis busy.
pub(crate) const MAX_PIPELINES: usize = 64 * 1024;

/// How often Redis is asked whether it is there. One that closes its connections is noticed at once,
/// and one that hangs, of which nobody asks anything, within this and [`RESPONSE_TIMEOUT`](super::RESPONSE_TIMEOUT).
pub const PING_EVERY: Duration = Duration::from_secs(2);

/// Pause before a Redis that refuses writes is looked for under its name once more.
const RENEW_PAUSE: Duration = Duration::from_secs(1);

/// Shares one connection among all callers.
#[derive(Clone)]
pub(crate) struct Commands(Arc<Shared>);

/// Why there are no answers.
pub(crate) enum Failure {
    /// There is no connection, or too much is under way on it; nothing was sent.
    NotSent(CacheError),
    /// It was sent, or may have been.
    NoAnswer(RedisError),
}

struct Shared {
    server: Server,
    hold: Hold,
    slot: Mutex<Slot>,
    availability: Availability,
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
    pub(crate) fn error(&self, read_only: bool) -> CacheError {
        match self {
            Self::NotSent(error) => error.clone(),
            Self::NoAnswer(error) => errors::unanswered(error, read_only),
        }
    }
}

impl Commands {
    /// What is sent waits while it is held back.
    pub(crate) async fn connect(
        server: Server,
        hold: Hold,
        availability: Availability,
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
            availability,
            reminders: Reminders::default(),
            remembers: AtomicBool::new(true),
            pipelines,
        });
        let opened = attempt(&shared.server, &shared.hold, Arc::downgrade(&shared), 0).await?;
        shared.connected(0, opened);
        tokio::spawn(ping(Arc::downgrade(&shared)));
        tokio::spawn(settle_doubts(Arc::downgrade(&shared)));
        Ok(Self(shared))
    }

    /// With what adds are done once; nothing if Redis does not allow that.
    pub(crate) fn reminders(&self) -> Option<&Reminders> {
        let remembers = self.0.remembers.load(Ordering::Relaxed);
        remembers.then_some(&self.0.reminders)
    }

    pub(crate) fn availability(&self) -> &Availability {
        &self.0.availability
    }

    /// Sends commands as one pipeline. They are queued before this future first yields, so that
    /// Redis carries out pipelines in the order in which their futures were first polled.
    pub(crate) async fn send(&self, packed: Packed) -> Result<Vec<Value>, Failure> {
        let Ok(_place) = self.0.pipelines.try_acquire() else {
            return Err(Failure::NotSent(errors::overloaded()));
        };
        let sent = {
            let slot = self.0.slot();
            slot.connection
                .as_ref()
                .map(|connection| connection.send(packed))
        };
        let disconnected = || Failure::NotSent(self.0.disconnected());
        let answers = sent.ok_or_else(disconnected)?.await;
        if let Ok(answers) = &answers
            && answers.iter().any(errors::is_read_only)
        {
            self.0.server.doubt();
        }
        answers.map_err(Failure::NoAnswer)
    }
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Nothing that can panic happens under the lock.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(
        self: &Arc<Self>,
        generation: u64,
        Opened {
            connection,
            refused,
        }: Opened,
    ) {
        if let Some(error) = &refused {
            tracing::warn!(%error, "Redis refuses scripts: adds whose answer is lost stay unknown");
        }
        self.remembers.store(refused.is_none(), Ordering::Relaxed);
        {
            let mut slot = self.slot();
            slot.connection = Some(connection.clone());
            self.availability.is_there(Way::Commands);
        }
        // Its end may have been told before there was anything to replace.
        if connection.is_lost() {
            self.lost(generation);
        }
    }

    /// What a caller is told while there is no connection: why, if that passes by itself.
    fn disconnected(&self) -> CacheError {
        let why = self.availability.why_away(Way::Commands);
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
            self.availability.is_away(Way::Commands, why);
        }
        tracing::warn!(
            address = self.server.address(),
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
            Some(why) => self.availability.is_away(Way::Commands, why),
            None => self.availability.is_there(Way::Commands),
        }
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
        let attempted = attempt(&server, &hold, shared.clone(), generation).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match attempted {
            Ok(opened) => {
                tracing::info!(address = server.address(), "connected to Redis again");
                shared.connected(generation, opened);
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot connect to Redis yet");
                shared.availability.is_away(Way::Commands, error);
            }
        }
        drop(shared);
        backoff.pause().await;
    }
}

/// Looks for another Redis under the same name when there is a doubt, until the last handle is gone.
async fn settle_doubts(shared: Weak<Shared>) {
    while let Some(server) = shared.upgrade().map(|shared| shared.server.clone()) {
        // Who waits longer than that may be the last.
        let doubt = tokio::time::timeout(PING_EVERY, server.doubts()).await;
        if doubt.is_ok() {
            renew(&shared, &server).await;
            tokio::time::sleep(RENEW_PAUSE).await;
        }
    }
}

/// Replaces the connection by one to a Redis that takes writes, if there is one under the same name.
/// What was sent on the old one is answered there.
async fn renew(shared: &Weak<Shared>, server: &Server) {
    let Some((generation, hold)) = shared
        .upgrade()
        .map(|shared| (shared.slot().generation, shared.hold.clone()))
    else {
        return;
    };
    let Ok(opened) = attempt(server, &hold, shared.clone(), generation + 1).await else {
        return;
    };
    let mut packed = Packed::default();
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
    tracing::warn!(address = server.address(), "Redis has moved");
    shared.connected(generation + 1, opened);
    server.has_moved();
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
async fn ping(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(PING_EVERY).await;
        let Some(asked) = shared.upgrade().map(|shared| {
            let slot = shared.slot();
            let mut packed = Packed::default();
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
        let connecting = Commands::connect(
            Server::new(&url).unwrap(),
            Hold::default(),
            Availability::default(),
            1,
        );
        let (commands, ()) = tokio::join!(connecting, sign_in(&listener).map(drop));
        let _commands = commands.unwrap_or_else(|error| panic!("{error}"));
        let again = tokio::time::timeout(Duration::from_secs(10), sign_in(&listener));
        again.await.unwrap();
    }
}
