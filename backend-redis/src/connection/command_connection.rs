//! The connection that carries the operations. It reconnects by itself.
//!
//! `supervisor` replaces a lost connection, `failover` one whose Redis became a replica, and
//! `ping` finds a Redis that hangs.

mod failover;
mod ping;
mod supervisor;

use std::fmt;
use std::sync::Arc;

use redis::{RedisError, Value};
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::Semaphore;

use crate::connection::availability::RedisAvailability;
use crate::connection::barrier::Barrier;
use crate::connection::endpoint::Endpoint;
use crate::wire::errors;
use crate::wire::packing::PackedCommands;

use failover::reconnect_to_new_masters;
use ping::ping_until_dropped;
use supervisor::ConnectionSupervisor;

pub use ping::PING_EVERY;

/// Default of [`RedisStreamsBuilder::max_pipelines`](crate::RedisStreamsBuilder::max_pipelines):
/// far more pipelines than it takes to keep Redis busy.
pub(crate) const MAX_PIPELINES: usize = 64 * 1024;

/// Shares one connection among all callers. Clones are cheap; the connection ends with the last.
#[derive(Clone)]
pub(crate) struct CommandConnection {
    supervisor: Arc<ConnectionSupervisor>,
    /// Has a permit for each pipeline that may still be sent.
    pipelines: Arc<Semaphore>,
}

impl fmt::Debug for CommandConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.supervisor.endpoint().fmt(f)
    }
}

/// Why commands have no answers.
#[derive(Debug)]
pub(crate) enum SendError {
    /// There is no connection, or too many pipelines are unanswered. Nothing was sent.
    NotSent(CacheError),
    /// The commands were sent, or may have been.
    NoAnswer(RedisError),
}

impl SendError {
    /// Returns the error for the caller of an operation.
    pub(crate) fn to_cache_error(&self, read_only: bool) -> CacheError {
        match self {
            Self::NotSent(error) => error.clone(),
            Self::NoAnswer(error) => errors::unanswered(error, read_only),
        }
    }
}

impl CommandConnection {
    /// Connects. From then on the connection is replaced whenever it is lost.
    ///
    /// # Errors
    ///
    /// `DISCONNECTED` if Redis cannot be reached, else the error that Redis answered.
    pub(crate) async fn connect(
        endpoint: Endpoint,
        barrier: Barrier,
        availability: RedisAvailability,
        max_pipelines: usize,
    ) -> CacheResult<Self> {
        let supervisor = ConnectionSupervisor::connect(endpoint, barrier, availability).await?;
        tokio::spawn(ping_until_dropped(Arc::downgrade(&supervisor)));
        tokio::spawn(reconnect_to_new_masters(Arc::downgrade(&supervisor)));
        Ok(Self {
            supervisor,
            pipelines: Arc::new(Semaphore::new(max_pipelines)),
        })
    }

    /// Returns whether Redis accepts the script of idempotent adds.
    pub(crate) fn accepts_scripts(&self) -> bool {
        self.supervisor.accepts_scripts()
    }

    /// Returns whether Redis may evict the keys that remember adds, as far as is known.
    pub(crate) fn windows_may_be_evicted(&self) -> bool {
        self.supervisor.windows_may_be_evicted()
    }

    pub(crate) fn availability(&self) -> &RedisAvailability {
        self.supervisor.availability()
    }

    /// Sends commands as one pipeline and returns their answers, in order.
    ///
    /// The commands are queued in the future's first poll, so Redis runs pipelines in the order in
    /// which their futures were first polled.
    pub(crate) async fn send(&self, packed: PackedCommands) -> Result<Vec<Value>, SendError> {
        let Ok(_permit) = self.pipelines.try_acquire() else {
            return Err(SendError::NotSent(errors::overloaded()));
        };
        let answers = self.supervisor.send(packed).map_err(SendError::NotSent)?;
        let answers = answers.await.map_err(SendError::NoAnswer)?;
        if answers.iter().any(errors::is_read_only) {
            self.supervisor.endpoint().suspect_failover();
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::connection::endpoint::ConnectionSettings;

    /// Accepts a connection and answers its sign-in.
    async fn accept_sign_in(listener: &TcpListener) -> TcpStream {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut commands = Vec::new();
        while !commands.ends_with(b"PING\r\n") {
            socket.read_buf(&mut commands).await.unwrap();
        }
        // HELLO, CLIENT SETINFO twice, INFO, SCRIPT LOAD and PING.
        let answers = b"+hello\r\n+OK\r\n+OK\r\n+info\r\n+loaded\r\n+PONG\r\n";
        socket.write_all(answers).await.unwrap();
        socket
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_right_after_its_sign_in_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let settings = ConnectionSettings {
            client_name: String::new(),
            ..ConnectionSettings::default()
        };
        let connecting = CommandConnection::connect(
            Endpoint::new(&url, settings).unwrap(),
            Barrier::default(),
            RedisAvailability::default(),
            1,
        );
        let (commands, ()) = tokio::join!(connecting, accept_sign_in(&listener).map(drop));
        let _commands = commands.unwrap_or_else(|error| panic!("{error}"));
        let again = tokio::time::timeout(Duration::from_secs(60), accept_sign_in(&listener));
        again.await.unwrap();
    }
}
