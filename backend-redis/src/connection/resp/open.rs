//! Making a connection.

use std::sync::Arc;

use redis::{ConnectionAddr, ConnectionInfo, RedisError, Value};
use streamgate_protocol::{CacheError, CacheResult, Retry};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::connection::barrier::Barrier;
use crate::connection::endpoint::CONNECT_TIMEOUT;
use crate::connection::resp::driver::ConnectionDriver;
use crate::connection::resp::{ConnectionHandle, PackedCommands, RespConnection, SharedQueue};
use crate::operation::idempotent_add;
use crate::wire::commands;
use crate::wire::commands::CommandWriter;
use crate::wire::errors;

/// A connection that is signed in.
pub(crate) struct OpenConnection {
    pub(crate) connection: RespConnection,
    /// Why Redis never takes the script that does adds once. One that it does not take for now, for
    /// want of memory perhaps, it is told again when it turns out not to know it.
    pub(crate) refused: Option<CacheError>,
}

impl RespConnection {
    /// Connects and signs in. `ended` is called once when the connection is lost after that.
    ///
    /// # Errors
    ///
    /// `DISCONNECTED` if there is no Redis, otherwise what it answers to the sign-in, or to whatever
    /// it is asked for now, such as `LOADING`.
    pub(crate) async fn open(
        info: &ConnectionInfo,
        barrier: Barrier,
        ended: impl FnOnce() + Send + 'static,
    ) -> CacheResult<OpenConnection> {
        let address = info.addr().to_string();
        let opening = tokio::time::timeout(CONNECT_TIMEOUT, open(info, barrier, ended));
        let opened = opening.await.unwrap_or_else(|_| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(OpenError::Unreachable(late.into()))
        });
        opened.map_err(|refused| match refused {
            OpenError::Unreachable(error) => errors::unconnected(&error, &address),
            OpenError::Answered(error) => error,
        })
    }
}

enum OpenError {
    Unreachable(RedisError),
    Answered(CacheError),
}

async fn open(
    info: &ConnectionInfo,
    barrier: Barrier,
    ended: impl FnOnce() + Send + 'static,
) -> Result<OpenConnection, OpenError> {
    let unreachable = |error: std::io::Error| OpenError::Unreachable(error.into());
    let connection = match info.addr() {
        ConnectionAddr::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream = stream.map_err(unreachable)?;
            // What is asked is gathered already.
            stream.set_nodelay(true).map_err(unreachable)?;
            start(stream, barrier, ended)
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await;
            start(stream.map_err(unreachable)?, barrier, ended)
        }
        address => {
            let why = format!("no way to connect to {address}");
            return Err(OpenError::Answered(CacheError::ConfigError(why)));
        }
    };
    let answers = connection.send(sign_in(info)).await;
    let mut answers = answers.map_err(OpenError::Unreachable)?;
    let pong = answers.pop().and_then(refusal);
    let refused = answers.pop().and_then(refusal);
    let mut asked = pong.into_iter().chain(refused.clone());
    let signed_in = answers.into_iter().find_map(refusal);
    match signed_in.or_else(|| asked.find(errors::serves_nobody)) {
        Some(error) => Err(OpenError::Answered(error)),
        None => Ok(OpenConnection {
            connection,
            refused: refused.filter(|error| error.retry() != Retry::Later),
        }),
    }
}

pub(crate) fn refusal(answer: Value) -> Option<CacheError> {
    match answer {
        Value::ServerError(error) => Some(errors::answered(&error)),
        _ => None,
    }
}

/// A running connection that is not signed in.
pub(super) fn start<S>(
    stream: S,
    barrier: Barrier,
    ended: impl FnOnce() + Send + 'static,
) -> RespConnection
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::new(SharedQueue {
        barrier,
        ..SharedQueue::default()
    });
    let driver = ConnectionDriver::new(stream, Arc::clone(&shared));
    tokio::spawn(async move {
        if let Some(error) = driver.await {
            tracing::debug!(%error, "a connection to Redis ended");
            ended();
        }
    });
    RespConnection(Arc::new(ConnectionHandle(shared)))
}

/// `HELLO` is answered while Redis loads, and refused without a password where there must be one. Who
/// may not load scripts is refused that whatever Redis does, so `PING` tells whether it serves.
fn sign_in(info: &ConnectionInfo) -> PackedCommands {
    let settings = info.redis_settings();
    let mut packed = PackedCommands::default();
    match settings.password() {
        None => {
            packed.command("HELLO", 1);
            packed.argument(b"2");
        }
        Some(password) => {
            packed.command("HELLO", 4);
            packed.argument(b"2");
            packed.argument(b"AUTH");
            packed.argument(settings.username().unwrap_or("default").as_bytes());
            packed.argument(password.as_bytes());
        }
    }
    if settings.db() != 0 {
        packed.command("SELECT", 1);
        packed.argument(settings.db().to_string().as_bytes());
    }
    idempotent_add::load(&mut packed);
    commands::ping(&mut packed);
    packed
}
