//! The WebSocket server in front of a backend.
//!
//! ```no_run
//! use std::sync::Arc;
//! use streamgate_proxy::MemoryStreams;
//! use streamgate_proxy::server::{Config, Server};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(Arc::new(MemoryStreams::new()), Config::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! server.serve(listener, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use axum::serve::ListenerExt;
use streamgate_protocol::CacheResult;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::Backend;

mod config;
mod page;
mod session;
mod socket;
mod upgrade;

pub use config::{Config, DEFAULT_MAX_SOCKETS, DEFAULT_WRITE_TIMEOUT, MIN_HEARTBEAT_MS};

/// Longest time that the end of a socket takes: what is unsent is sent, the close frame goes out,
/// and the client's is awaited. Long enough for a slow line, short enough not to hold up a
/// shutdown.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time that [`Server::serve`] takes to end: that of its sockets, and a second for HTTP
/// requests under way.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(6);

/// Serves a backend to WebSocket clients. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What every socket of a server sees.
struct Shared {
    backend: Arc<dyn Backend>,
    config: Config,
    /// A permit per socket, so that they are bounded and their end can be awaited.
    sockets: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

impl Server {
    /// A server that has no socket yet.
    ///
    /// # Errors
    ///
    /// `CONFIG` if the configuration grants less than the protocol's minimum.
    pub fn new(backend: Arc<dyn Backend>, config: Config) -> CacheResult<Self> {
        config.validate()?;
        let sockets = Arc::new(Semaphore::new(config.max_sockets as usize));
        let closing = watch::Sender::new(false);
        Ok(Self {
            shared: Arc::new(Shared {
                backend,
                config,
                sockets,
                closing,
            }),
        })
    }

    /// The routes `/v1/ws`, `/healthz` and `/`, to be served on their own or within another
    /// application. Whoever serves them turns on `TCP_NODELAY`, and calls [`close`](Self::close)
    /// at the end, because upgraded sockets outlive the listener.
    pub fn router(&self) -> Router {
        let router = Router::new()
            .route("/v1/ws", any(upgrade::upgrade))
            .with_state(Arc::clone(&self.shared));
        page::routes(router, self.shared.config.www.as_deref())
    }

    /// Serves until `shutdown` is ready; then accepts nothing more, closes every socket with 1001
    /// and returns within [`SHUTDOWN_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// None at present: a connection that cannot be accepted is logged.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        // Replies are small and coalesced already: Nagle's algorithm would only delay them.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
        });
        let app = self
            .router()
            .into_make_service_with_connect_info::<SocketAddr>();
        let server = self.clone();
        let begin_close = async move {
            shutdown.await;
            server.shared.closing.send_replace(true);
        };
        let serving = axum::serve(listener, app)
            .with_graceful_shutdown(begin_close)
            .into_future();
        let mut closing = self.shared.closing.subscribe();
        let overdue = async {
            // An error would mean that the sender is gone, but `self` holds it.
            let _ = closing.wait_for(|closing| *closing).await;
            tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
        };
        let everything_ends = async {
            serving.await?;
            self.close().await;
            Ok(())
        };
        tokio::select! {
            ended = everything_ends => ended,
            () = overdue => Ok(()),
        }
    }

    /// Closes every socket with 1001, refuses new ones, and returns when all have ended, which
    /// they do within [`CLOSE_TIMEOUT`].
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        // An error would mean that the semaphore is closed, which it never is.
        let _ = self
            .shared
            .sockets
            .acquire_many(self.shared.config.max_sockets)
            .await;
    }
}
