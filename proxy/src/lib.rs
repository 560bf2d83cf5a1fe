//! The streamgate server: Redis Streams over a WebSocket, in front of any [`Backend`].
//!
//! [`Config`] holds every setting and its default. [`Server`] serves on a listener of its own, or
//! within another axum application ([`Server::router`]).
//!
//! ```no_run
//! use std::sync::Arc;
//! use streamgate::{Config, Server};
//! use streamgate_memory::MemoryStreams;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::default().max_sockets(1_000);
//! let server = Server::new(Arc::new(MemoryStreams::new()), config)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! server.serve(listener, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The server logs with [`tracing`]: at `info` sockets that it closes with a code, what it refuses,
//! and a shutdown; at `debug` every socket, in a span that names the peer and the encoding, and in
//! it a span for every request. Of lines of one kind it logs ten at once and then one a second, with
//! the number of those suppressed.
//!
//! # Public dependencies
//!
//! Types of these crates appear in this API: `streamgate-backend` and `streamgate-protocol`, `axum`
//! ([`Server::router`]), `ipnet` ([`Config::trusted_proxies`]), and `tokio` ([`Server::serve`]).
//!
//! [`Backend`]: streamgate_backend::Backend

#[cfg(feature = "fuzzing")]
extern crate self as streamgate;

mod accept;
mod access;
mod address_key;
mod admin;
mod admin_host;
mod auth;
mod busy_poll;
// The command's, for the fuzz targets: it names this crate as a dependency.
#[cfg(feature = "fuzzing")]
#[expect(dead_code, reason = "only the settings are reached")]
mod cli;
mod client_registry;
mod config;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod health;
mod keyed_counts;
mod large_requests;
mod log_limit;
mod machine_memory;
mod memory_watch;
mod metrics;
mod origins;
mod page;
mod rate_limits;
mod refusal;
mod reload_errors;
mod request_checks;
mod rights;
mod server;
mod server_state;
mod session;
mod shutdown;
mod socket;
mod socket_shares;
mod tls;
mod trusted_proxies;
mod wait_shares;
mod www;

pub use auth::{
    Algorithm, AuthPolicy, DEFAULT_MAX_LIFE, DEFAULT_ROLES_CLAIM, JwksSource, JwksSourceError,
    KeyError, KeySet, MAX_TOKEN_BYTES, PolicyError, RefusedToken, Revocation, RevokedTokens,
    StaticToken, VerificationKey,
};
pub use config::{
    Config, DEFAULT_BUSY_POLL, DEFAULT_DRAIN_PERIOD, DEFAULT_FRAME_BYTES,
    DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_HEARTBEAT_MS, DEFAULT_MAX_HANDSHAKES,
    DEFAULT_MAX_HANDSHAKES_PER_ADDRESS, DEFAULT_MAX_SOCKETS, DEFAULT_REQUESTS_IN_FLIGHT,
    DEFAULT_WRITE_TIMEOUT, MAX_BUSY_POLL, MAX_CONNECTIONS, MAX_PERIOD, MIN_HEARTBEAT_MS,
    MIN_MEMORY_BYTES,
};
pub use origins::{OriginError, Origins};
pub use rate_limits::{AddressLimits, Limits, SocketLimits, SubjectLimits};
pub use reload_errors::ReloadSource;
pub use rights::{Permission, RightRule, Role, RoleError};
pub use server::Server;
pub use shutdown::{CLOSE_TIMEOUT, SHUTDOWN_TIMEOUT};
pub use tls::{TlsConfig, TlsError, TlsPart};
