//! Opens a connection: connects, signs in, loads the script of idempotent adds, and asks whether
//! Redis may evict keys.

use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, RedisError, Value};
use streamgate_protocol::{CacheError, CacheResult, Retry};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::connection::RespConnection;
use super::driver::ConnectionDriver;
use super::send_queue::SendQueue;
use crate::connection::barrier::Barrier;
use crate::connection::endpoint::{Endpoint, LIBRARY};
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::idempotent_add;
use crate::wire::{answers, commands, errors};

/// A connection that is signed in.
pub(in crate::connection) struct OpenedConnection {
    pub(in crate::connection) connection: RespConnection,
    /// Why Redis never accepts the script of idempotent adds. A temporary refusal, for want of
    /// memory perhaps, is none: the script is loaded again when Redis turns out not to know it.
    pub(in crate::connection) script_refusal: Option<CacheError>,
    /// Redis's `maxmemory-policy`; absent if Redis does not tell.
    pub(in crate::connection) eviction_policy: Option<String>,
}

enum OpenError {
    Unreachable(RedisError),
    Answered(CacheError),
}

impl RespConnection {
    /// Connects and signs in. If the connection is lost afterwards, `on_lost` is called once.
    ///
    /// # Errors
    ///
    /// `DISCONNECTED` if Redis cannot be reached; else the error that Redis answers to the sign-in,
    /// or while it serves nobody, such as `LOADING`.
    pub(in crate::connection) async fn open(
        endpoint: &Endpoint,
        barrier: Barrier,
        on_lost: impl FnOnce() + Send + 'static,
    ) -> CacheResult<OpenedConnection> {
        let opening = open(endpoint, barrier, on_lost);
        let opened = tokio::time::timeout(endpoint.settings().connect_timeout, opening).await;
        let opened = opened.unwrap_or_else(|_| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(OpenError::Unreachable(late.into()))
        });
        opened.map_err(|error| match error {
            OpenError::Unreachable(error) => errors::unconnected(&error, &endpoint.address()),
            OpenError::Answered(error) => error,
        })
    }
}

/// Returns the error that an answer is, if it is one.
pub(in crate::connection) fn into_refusal(answer: Value) -> Option<CacheError> {
    match answer {
        Value::ServerError(error) => Some(errors::answered(&error)),
        _ => None,
    }
}

/// Starts a connection that is not signed in yet.
pub(super) fn start<S>(
    stream: S,
    response_timeout: Duration,
    barrier: Barrier,
    on_lost: impl FnOnce() + Send + 'static,
) -> RespConnection
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let queue = Arc::new(SendQueue::new(barrier));
    let driver = ConnectionDriver::new(stream, Arc::clone(&queue), response_timeout);
    tokio::spawn(async move {
        if let Some(error) = driver.await {
            tracing::debug!(%error, "a connection to Redis ended");
            on_lost();
        }
    });
    RespConnection::new(queue)
}

async fn open(
    endpoint: &Endpoint,
    barrier: Barrier,
    on_lost: impl FnOnce() + Send + 'static,
) -> Result<OpenedConnection, OpenError> {
    let unreachable = |error: std::io::Error| OpenError::Unreachable(error.into());
    let response_timeout = endpoint.settings().response_timeout;
    let connection = match endpoint.info().addr() {
        ConnectionAddr::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream = stream.map_err(unreachable)?;
            // Commands are gathered before they are written.
            stream.set_nodelay(true).map_err(unreachable)?;
            start(stream, response_timeout, barrier, on_lost)
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await;
            let stream = stream.map_err(unreachable)?;
            start(stream, response_timeout, barrier, on_lost)
        }
        address => {
            let why = format!("cannot connect to {address}: unsupported kind of address");
            return Err(OpenError::Answered(CacheError::ConfigError(why)));
        }
    };

    // A client that may not load scripts is refused that in any state of Redis, so only the answer
    // to `PING` tells whether Redis serves.
    let mut packed = PackedCommands::default();
    sign_in(&mut packed, endpoint.info());
    let signing_in = packed.commands;
    commands::set_client_name(&mut packed, &endpoint.settings().client_name);
    commands::set_library(&mut packed, LIBRARY);
    commands::memory_info(&mut packed);
    idempotent_add::load(&mut packed);
    commands::ping(&mut packed);

    let replies = connection.send(packed).await;
    let mut replies = replies.map_err(OpenError::Unreachable)?;
    let pong = replies.pop().and_then(into_refusal);
    let script_refusal = replies.pop().and_then(into_refusal);
    let eviction_policy = replies.pop().and_then(answers::eviction_policy);
    // Redis may refuse the client's name and library: they only describe the connection.
    replies.truncate(signing_in);
    let sign_in_refusal = replies.into_iter().find_map(into_refusal);
    let mut unavailable = pong.into_iter().chain(script_refusal.clone());
    match sign_in_refusal.or_else(|| unavailable.find(errors::serves_nobody)) {
        Some(error) => Err(OpenError::Answered(error)),
        None => Ok(OpenedConnection {
            connection,
            script_refusal: script_refusal.filter(|error| error.retry() != Retry::Later),
            eviction_policy,
        }),
    }
}

/// Signs in with `HELLO`, which Redis answers while it loads, and refuses without a password where
/// it needs one.
fn sign_in(to: &mut PackedCommands, info: &ConnectionInfo) {
    let settings = info.redis_settings();
    let credentials = settings.password().map(|password| {
        let username = settings.username().unwrap_or("default");
        [username, password]
    });
    commands::hello(to, credentials);
    if settings.db() != 0 {
        commands::select(to, settings.db());
    }
}
