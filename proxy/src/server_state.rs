//! What all sockets and routes of a server share.

use std::sync::Arc;

use streamgate_backend::Backend;
use tokio::sync::Semaphore;

use crate::busy_poll::BusyPoll;
use crate::client_registry::ClientRegistry;
use crate::config::Config;
use crate::shutdown::Shutdown;

/// The shared state of a server.
pub(crate) struct ServerState {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: Config,
    pub(crate) shutdown: Shutdown,
    pub(crate) busy_poll: BusyPoll,
    pub(crate) clients: ClientRegistry,
    /// Each socket holds a permit: this bounds their number, and a shutdown can await their end.
    pub(crate) socket_permits: Arc<Semaphore>,
}

impl ServerState {
    pub(crate) fn new(backend: Arc<dyn Backend>, config: Config) -> Self {
        Self {
            shutdown: Shutdown::new(config.drain_period),
            busy_poll: BusyPoll::new(config.busy_poll),
            clients: ClientRegistry::default(),
            socket_permits: Arc::new(Semaphore::new(config.max_sockets as usize)),
            backend,
            config,
        }
    }

    /// Begins the shutdown of all open sockets. Later calls do nothing.
    pub(crate) fn begin_shutdown(&self) {
        let free = u32::try_from(self.socket_permits.available_permits()).unwrap_or(u32::MAX);
        let sockets = self.config.max_sockets.saturating_sub(free);
        if self.shutdown.begin(sockets) {
            tracing::info!(
                sockets,
                drain_ms = self.config.drain_period.as_millis(),
                "shutting down"
            );
        }
    }

    /// Returns when no socket is open any more.
    pub(crate) async fn until_no_sockets(&self) {
        // An error would mean that the semaphore is closed, which it never is.
        let _ = self
            .socket_permits
            .acquire_many(self.config.max_sockets)
            .await;
    }
}
