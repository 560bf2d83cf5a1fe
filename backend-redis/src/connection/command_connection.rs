//! The connection that carries the operations and the hub's reads, and on which Redis pushes which
//! stream has changed. It reconnects by itself.
//!
//! `supervisor` replaces a lost connection, `failover` one whose Redis became a replica, `ping`
//! finds a Redis that hangs, and `missing_features` logs what Redis refuses.

mod failover;
mod missing_features;
mod ping;
mod supervisor;

use std::fmt;
use std::sync::Arc;

use redis::{RedisError, Value};
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::{Semaphore, watch};

use crate::connection::availability::RedisAvailability;
use crate::connection::endpoint::Endpoint;
use crate::connection::invalidations::{Arming, Invalidations};
use crate::connection::resp::PushError;
use crate::connection::sentinels::follow_master;
use crate::wire::errors;
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::script_access::ScriptAccess;

use failover::reconnect_to_new_masters;
use ping::ping_until_dropped;
pub(super) use supervisor::ConnectionSupervisor;

pub use ping::PING_EVERY;
pub(crate) use supervisor::ConnectionStatus;

/// Default of [`RedisStreamsBuilder::max_pipelines`](crate::RedisStreamsBuilder::max_pipelines):
/// far more pipelines than it takes to keep Redis busy.
pub(crate) const MAX_PIPELINES: usize = 64 * 1024;

/// Shares one connection among all callers. Clones are cheap; the connection ends with the last.
#[derive(Clone)]
pub(crate) struct CommandConnection {
    supervisor: Arc<ConnectionSupervisor>,
    /// Has a permit for each pipeline that may still be sent. A pipeline keeps its permit until it
    /// is answered, even if its caller has gone.
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
    /// There is no connection, too many pipelines are unanswered, or there is no memory for this
    /// one. Nothing was sent.
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
    /// `CONFIG` if only another setting helps, `DISCONNECTED` if Redis cannot be reached, else the
    /// error that Redis answered. If `is_lazy`, only the first.
    pub(crate) async fn connect(
        endpoint: Endpoint,
        max_pipelines: usize,
        is_lazy: bool,
    ) -> CacheResult<Self> {
        let supervisor = ConnectionSupervisor::connect(endpoint, is_lazy).await?;
        tokio::spawn(ping_until_dropped(Arc::downgrade(&supervisor)));
        tokio::spawn(reconnect_to_new_masters(Arc::downgrade(&supervisor)));
        if supervisor.endpoint().sentinels().is_some() {
            tokio::spawn(follow_master(Arc::downgrade(&supervisor)));
        }
        Ok(Self {
            supervisor,
            pipelines: Arc::new(Semaphore::new(max_pipelines)),
        })
    }

    /// Returns whether Redis runs the script of idempotent adds.
    pub(crate) fn dedup(&self) -> &ScriptAccess {
        self.supervisor.dedup()
    }

    /// Returns whether Redis answers `XINFO STREAM`.
    pub(crate) fn has_stream_info(&self) -> bool {
        self.supervisor.has_stream_info()
    }

    /// Returns whether Redis runs the scripts that bound answers.
    pub(crate) fn scripts(&self) -> &ScriptAccess {
        self.supervisor.scripts()
    }

    /// Returns whether Redis may evict the keys that remember adds, as far as is known.
    pub(crate) fn windows_may_be_evicted(&self) -> bool {
        self.supervisor.windows_may_be_evicted()
    }

    pub(crate) fn availability(&self) -> &RedisAvailability {
        self.supervisor.availability()
    }

    /// Returns whether Redis pushes the next change of a key that is read after
    /// [`arm_next`](crate::wire::commands::arm_next).
    pub(crate) fn tracks(&self) -> bool {
        self.supervisor.tracks()
    }

    /// Returns what Redis pushes.
    pub(crate) fn invalidations(&self) -> &Arc<Invalidations> {
        self.supervisor.invalidations()
    }

    /// Returns a receiver of the connection's status.
    pub(crate) fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.supervisor.status()
    }

    /// Sends commands as one pipeline and returns their answers, in order.
    ///
    /// The commands are queued in the future's first poll, so Redis runs pipelines in the order in
    /// which their futures were first polled. Once queued they are sent, even if the future is
    /// dropped.
    pub(crate) async fn send(&self, packed: PackedCommands) -> Result<Vec<Value>, SendError> {
        Ok(self.send_arming(packed).await?.0)
    }

    /// Does the same, and returns what the reads of the pipeline have armed.
    pub(crate) async fn send_arming(
        &self,
        packed: PackedCommands,
    ) -> Result<(Vec<Value>, Arming), SendError> {
        let Ok(permit) = Arc::clone(&self.pipelines).try_acquire_owned() else {
            return Err(SendError::NotSent(errors::overloaded()));
        };
        let (generation, sent) = self.supervisor.send(packed, Some(permit));
        let answers = sent?.await.map_err(SendError::NoAnswer)?;
        self.suspect_failover(&answers.values);
        let arming = Arming {
            generation,
            last_invalidation: answers.last_invalidation,
        };
        Ok((answers.values, arming))
    }

    /// Sends what `encode` writes, at once, and in one step: whatever was sent before is not among
    /// the commands that follow, and nothing else is sent while `encode` runs. Returns the
    /// connection's generation too.
    ///
    /// This is for the hub. It does not count against the bound on pipelines.
    pub(crate) fn send_encoded(
        &self,
        encode: &mut dyn FnMut(&mut PackedCommands),
    ) -> (
        u64,
        Result<impl Future<Output = Result<Vec<Value>, RedisError>> + Send + use<>, SendError>,
    ) {
        let (generation, sent) = self.supervisor.send_encoded(encode);
        let endpoint = self.supervisor.endpoint().clone();
        let sent = sent.map(|sent| async move {
            let values = sent.await?.values;
            if values.iter().any(errors::is_read_only) {
                endpoint.suspect_failover();
            }
            Ok(values)
        });
        (generation, sent)
    }

    fn suspect_failover(&self, answers: &[Value]) {
        if answers.iter().any(errors::is_read_only) {
            self.supervisor.endpoint().suspect_failover();
        }
    }
}

impl From<PushError> for SendError {
    fn from(error: PushError) -> Self {
        Self::NotSent(match error {
            PushError::Lost(_) => errors::disconnected(),
            PushError::Full => errors::overloaded(),
            PushError::NoMemory(error) => error,
        })
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
        // HELLO, CLIENT SETINFO twice, INFO, SCRIPT LOAD, EVALSHA, EVAL, XINFO, CLIENT TRACKING,
        // CLIENT CACHING and PING.
        let tried = "+loaded\r\n-NOSCRIPT no\r\n+\r\n-ERR no such key\r\n";
        let answers = format!("+hello\r\n+OK\r\n+OK\r\n+info\r\n{tried}+OK\r\n+OK\r\n+PONG\r\n");
        socket.write_all(answers.as_bytes()).await.unwrap();
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
        let connecting =
            CommandConnection::connect(Endpoint::new(&url, settings).unwrap(), 1, false);
        let (commands, ()) = tokio::join!(connecting, accept_sign_in(&listener).map(drop));
        let _commands = commands.unwrap_or_else(|error| panic!("{error}"));
        let again = tokio::time::timeout(Duration::from_secs(60), accept_sign_in(&listener));
        again.await.unwrap();
    }
}
