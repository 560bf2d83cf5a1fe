//! Making a connection.

use std::sync::Arc;

use redis::{ConnectionAddr, ConnectionInfo, RedisError, Value};
use streamgate_protocol::{CacheError, CacheResult, Retry};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::connection::barrier::Hold;
use crate::connection::endpoint::CONNECT_TIMEOUT;
use crate::connection::resp::driver::Driver;
use crate::connection::resp::{Connection, Handle, Packed, Shared};
use crate::operation::idempotent_add;
use crate::wire::commands;
use crate::wire::commands::Commands;
use crate::wire::errors;

/// A connection that is signed in.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    /// Why Redis never takes the script that does adds once. One that it does not take for now, for
    /// want of memory perhaps, it is told again when it turns out not to know it.
    pub(crate) refused: Option<CacheError>,
}

impl Connection {
    /// Connects and signs in. `ended` is called once when the connection is lost after that.
    ///
    /// # Errors
    ///
    /// `DISCONNECTED` if there is no Redis, otherwise what it answers to the sign-in, or to whatever
    /// it is asked for now, such as `LOADING`.
    pub(crate) async fn open(
        info: &ConnectionInfo,
        hold: Hold,
        ended: impl FnOnce() + Send + 'static,
    ) -> CacheResult<Opened> {
        let address = info.addr().to_string();
        let opening = tokio::time::timeout(CONNECT_TIMEOUT, open(info, hold, ended));
        let opened = opening.await.unwrap_or_else(|_| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(Refused::Unreachable(late.into()))
        });
        opened.map_err(|refused| match refused {
            Refused::Unreachable(error) => errors::unconnected(&error, &address),
            Refused::Answered(error) => error,
        })
    }
}

enum Refused {
    Unreachable(RedisError),
    Answered(CacheError),
}

async fn open(
    info: &ConnectionInfo,
    hold: Hold,
    ended: impl FnOnce() + Send + 'static,
) -> Result<Opened, Refused> {
    let unreachable = |error: std::io::Error| Refused::Unreachable(error.into());
    let connection = match info.addr() {
        ConnectionAddr::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream = stream.map_err(unreachable)?;
            // What is asked is gathered already.
            stream.set_nodelay(true).map_err(unreachable)?;
            start(stream, hold, ended)
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await;
            start(stream.map_err(unreachable)?, hold, ended)
        }
        address => {
            let why = format!("no way to connect to {address}");
            return Err(Refused::Answered(CacheError::ConfigError(why)));
        }
    };
    let answers = connection.send(sign_in(info)).await;
    let mut answers = answers.map_err(Refused::Unreachable)?;
    let pong = answers.pop().and_then(refusal);
    let refused = answers.pop().and_then(refusal);
    let mut asked = pong.into_iter().chain(refused.clone());
    let signed_in = answers.into_iter().find_map(refusal);
    match signed_in.or_else(|| asked.find(errors::serves_nobody)) {
        Some(error) => Err(Refused::Answered(error)),
        None => Ok(Opened {
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
pub(super) fn start<S>(stream: S, hold: Hold, ended: impl FnOnce() + Send + 'static) -> Connection
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::new(Shared {
        hold,
        ..Shared::default()
    });
    let driver = Driver::new(stream, Arc::clone(&shared));
    tokio::spawn(async move {
        if let Some(error) = driver.await {
            tracing::debug!(%error, "a connection to Redis ended");
            ended();
        }
    });
    Connection(Arc::new(Handle(shared)))
}

/// `HELLO` is answered while Redis loads, and refused without a password where there must be one. Who
/// may not load scripts is refused that whatever Redis does, so `PING` tells whether it serves.
fn sign_in(info: &ConnectionInfo) -> Packed {
    let settings = info.redis_settings();
    let mut packed = Packed::default();
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
