//! Opens a connection: connects, and signs in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, RedisError};
use socket2::{SockRef, TcpKeepalive};
use streamgate_backend::memory_budget::MemoryBudget;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::connection::RespConnection;
use super::driver::ConnectionDriver;
use super::send_queue::{PushError, SendQueue};
use super::sign_in::{ServerFacts, sign_in};
use crate::connection::endpoint::Endpoint;
use crate::connection::host_port::HostPort;
use crate::connection::invalidations::Invalidations;
use crate::connection::tls;
use crate::wire::errors;

/// Silence after which the kernel probes whether the peer is there, and the interval of the probes.
/// The connection for commands has pings; this ends other half-open connections.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection that is signed in.
pub(in crate::connection) struct OpenedConnection {
    pub(in crate::connection) connection: RespConnection,
    /// Where it leads, if Sentinels said it.
    pub(in crate::connection) server: Option<HostPort>,
    pub(in crate::connection) facts: ServerFacts,
}

/// Why a connection could not be opened.
pub(in crate::connection) enum OpenError {
    Unreachable(RedisError),
    Answered(CacheError),
}

impl OpenError {
    pub(in crate::connection) fn timed_out() -> Self {
        Self::Unreachable(io::Error::from(io::ErrorKind::TimedOut).into())
    }
}

impl From<PushError> for OpenError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Lost(error) => Self::Unreachable(error),
            PushError::Full => Self::Answered(errors::overloaded()),
            PushError::NoMemory(error) => Self::Answered(error),
        }
    }
}

impl RespConnection {
    /// Connects and signs in. If the connection is lost afterwards, `on_lost` is called once.
    ///
    /// With `invalidations`, `CLIENT TRACKING` is turned on if Redis allows it, and that value
    /// receives what Redis pushes.
    ///
    /// # Errors
    ///
    /// `DISCONNECTED` if Redis cannot be reached; `CONFIG` if only another setting helps, such as
    /// another certificate; else the error that Redis answers to the sign-in, or while it serves
    /// nobody, such as `LOADING`.
    pub(in crate::connection) async fn open(
        endpoint: &Endpoint,
        invalidations: Option<Arc<Invalidations>>,
        on_lost: impl FnOnce() + Send + 'static,
    ) -> CacheResult<OpenedConnection> {
        let opening = async {
            let is_tracking_wanted = invalidations.is_some();
            let server = match endpoint.sentinels() {
                // The rest of the time is for the master.
                Some(sentinels) => {
                    let limit = endpoint.settings().connect_timeout / 2;
                    Some(sentinels.master(endpoint, limit).await?.server)
                }
                None => None,
            };
            let connection = match &server {
                Some(server) => connect_to(server, endpoint, invalidations, on_lost).await?,
                None => connect(endpoint, invalidations, on_lost).await?,
            };
            let facts = sign_in(&connection, endpoint, is_tracking_wanted).await?;
            if let Some(server) = server.as_ref().filter(|_| facts.is_replica) {
                // A failover is under way. Only the master takes writes.
                return Err(OpenError::Answered(errors::no_master_yet(server)));
            }
            Ok(OpenedConnection {
                connection,
                server,
                facts,
            })
        };
        let opened = tokio::time::timeout(endpoint.settings().connect_timeout, opening).await;
        let opened = opened.unwrap_or_else(|_| Err(OpenError::timed_out()));
        opened.map_err(|error| match error {
            OpenError::Unreachable(error) => match tls::setting_error(&error) {
                Some(remedy) => errors::misconfigured(&endpoint.address(), remedy),
                None => errors::unconnected(&error, &endpoint.address(), hint(endpoint, &error)),
            },
            OpenError::Answered(error) => error,
        })
    }
}

/// Starts a connection that is not signed in yet.
pub(super) fn start<S>(
    stream: S,
    response_timeout: Duration,
    memory: &MemoryBudget,
    invalidations: Option<Arc<Invalidations>>,
    on_lost: impl FnOnce() + Send + 'static,
) -> RespConnection
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let queue = Arc::new(SendQueue::new(memory));
    let driver = ConnectionDriver::new(stream, Arc::clone(&queue), response_timeout, invalidations);
    tokio::spawn(async move {
        if let Some(error) = driver.await {
            tracing::debug!(%error, "a connection to Redis ended");
            on_lost();
        }
    });
    RespConnection::new(queue)
}

/// Returns what may be wrong with the scheme: a server that expects TLS closes a connection without
/// it, and one that speaks none may wait for more.
fn hint(endpoint: &Endpoint, error: &RedisError) -> &'static str {
    let is_tcp = matches!(endpoint.info().addr(), ConnectionAddr::Tcp(..));
    match endpoint.tls() {
        Some(_) if error.is_timeout() => "; if it speaks no TLS there, write redis://",
        None if is_tcp && error.is_connection_dropped() => {
            "; if it expects TLS there, write rediss://"
        }
        _ => "",
    }
}

async fn connect(
    endpoint: &Endpoint,
    invalidations: Option<Arc<Invalidations>>,
    on_lost: impl FnOnce() + Send + 'static,
) -> Result<RespConnection, OpenError> {
    match endpoint.info().addr() {
        ConnectionAddr::Tcp(host, port) => {
            let (host, port) = (host.clone(), *port);
            connect_to(&HostPort { host, port }, endpoint, invalidations, on_lost).await
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await;
            let stream = stream.map_err(|error| OpenError::Unreachable(error.into()))?;
            let response_timeout = endpoint.settings().response_timeout;
            let memory = endpoint.memory();
            let connection = start(stream, response_timeout, memory, invalidations, on_lost);
            Ok(connection)
        }
        address => {
            let why = format!("cannot connect to {address}: unsupported kind of address");
            Err(OpenError::Answered(CacheError::ConfigError(why)))
        }
    }
}

/// Connects to a server by TCP, with TLS if the endpoint has it. The connection is not signed in.
pub(in crate::connection) async fn connect_to(
    server: &HostPort,
    endpoint: &Endpoint,
    invalidations: Option<Arc<Invalidations>>,
    on_lost: impl FnOnce() + Send + 'static,
) -> Result<RespConnection, OpenError> {
    let response_timeout = endpoint.settings().response_timeout;
    let memory = endpoint.memory();
    let stream = tcp_stream(&server.host, server.port).await;
    let stream = stream.map_err(|error| OpenError::Unreachable(error.into()))?;
    let Some(tls) = endpoint.tls() else {
        let connection = start(stream, response_timeout, memory, invalidations, on_lost);
        return Ok(connection);
    };
    let stream = tls.connect(&server.host, stream).await;
    let stream = stream.map_err(OpenError::Unreachable)?;
    let connection = start(stream, response_timeout, memory, invalidations, on_lost);
    Ok(connection)
}

async fn tcp_stream(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // Commands are gathered before they are written.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}
