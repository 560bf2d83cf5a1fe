//! The WebSocket server in front of a streamgate backend.
//!
//! ```no_run
//! use std::sync::Arc;
//! use streamgate::{Config, Server};
//! use streamgate_memory::MemoryStreams;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(Arc::new(MemoryStreams::new()), Config::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! server.serve(listener, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod busy_poll;
mod config;
mod handshake;
mod health;
mod page;
mod server;
mod session;
mod shutdown;
mod socket;

pub use config::{
    Config, DEFAULT_DRAIN, DEFAULT_MAX_SOCKETS, DEFAULT_WRITE_TIMEOUT, MIN_HEARTBEAT_MS,
};
pub use server::{CLOSE_TIMEOUT, SHUTDOWN_TIMEOUT, Server};
