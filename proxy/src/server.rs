//! The server: its routes, its sockets and its end.

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
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use streamgate_backend::Backend;

use crate::busy_poll::BusyPoll;
use crate::shutdown::Drain;

use crate::config::Config;

/// Longest time that the end of a socket takes: what is being performed is finished, what is unsent
/// is sent, the close frame goes out, and the client's is awaited. Long enough for a slow line,
/// short enough not to hold up a shutdown.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time that [`Server::serve`] takes to end beyond the period of
/// [`Config::drain`]: that of its last sockets, and a second for HTTP requests under way.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(6);

/// Serves a backend to WebSocket clients. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub(crate) shared: Arc<ServerState>,
}

/// What every socket of a server sees.
pub(crate) struct ServerState {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: Config,
    /// A permit per socket, so that they are bounded and their end can be awaited.
    pub(crate) sockets: Arc<Semaphore>,
    pub(crate) drain: Drain,
    pub(crate) busy_poll: BusyPoll,
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
        let drain = Drain::new(config.drain);
        let busy_poll = BusyPoll::new(config.busy_poll);
        Ok(Self {
            shared: Arc::new(ServerState {
                backend,
                config,
                sockets,
                drain,
                busy_poll,
            }),
        })
    }

    /// The routes `/v1/ws`, `/healthz`, `/readyz` and `/`, to be served on their own or within another
    /// application. Whoever serves them turns on `TCP_NODELAY`, and calls [`close`](Self::close)
    /// at the end, because upgraded sockets outlive the listener.
    pub fn router(&self) -> Router {
        let router = Router::new()
            .route("/v1/ws", any(crate::handshake::upgrade))
            .merge(crate::health::routes())
            .with_state(Arc::clone(&self.shared));
        crate::page::routes(router, self.shared.config.www.as_deref())
    }

    /// Serves until `shutdown` is ready; then accepts nothing more, [closes](Self::close) every
    /// socket with 1001 and returns when all are gone, or when [`Config::drain`] and
    /// [`SHUTDOWN_TIMEOUT`] are over.
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
            server.begin_drain();
        };
        let serving = axum::serve(listener, app)
            .with_graceful_shutdown(begin_close)
            .into_future();
        // Who holds a connection without asking for anything does not hold up the end.
        let overdue = async {
            let end = self.shared.drain.end().await;
            // Over or not, what is left is no longer waited for.
            let _ = tokio::time::timeout_at(end + CLOSE_TIMEOUT, self.close()).await;
            tokio::time::sleep(SHUTDOWN_TIMEOUT - CLOSE_TIMEOUT).await;
        };
        let everything_ends = async {
            serving.await?;
            self.close().await;
            Ok(())
        };
        // Ends with this.
        let mut busy_poll = JoinSet::new();
        let shared = Arc::clone(&self.shared);
        busy_poll.spawn(async move { shared.busy_poll.run().await });
        tokio::select! {
            ended = everything_ends => ended,
            () = overdue => Ok(()),
        }
    }

    /// Refuses new sockets and closes those that there are with 1001, spread evenly over the
    /// period of [`Config::drain`]. Until its moment each is served as before; then it is read no
    /// further, its waits and subscriptions end, and what is being performed for it is answered
    /// first. Returns when all have ended, which they do within that period and
    /// [`CLOSE_TIMEOUT`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops nothing: sockets are closed once this was polled.
    pub async fn close(&self) {
        self.begin_drain();
        // An error would mean that the semaphore is closed, which it never is.
        let _ = self
            .shared
            .sockets
            .acquire_many(self.shared.config.max_sockets)
            .await;
    }

    fn begin_drain(&self) {
        let free = u32::try_from(self.shared.sockets.available_permits()).unwrap_or(u32::MAX);
        let open = self.shared.config.max_sockets.saturating_sub(free);
        self.shared.drain.begin(open);
    }
}
