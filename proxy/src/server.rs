//! The public [`Server`]: its routes, and how long it serves.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use streamgate_backend::Backend;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::accept::Acceptor;
use crate::auth::{AuthPolicy, RevokedTokens};
use crate::config::Config;
use crate::memory_watch;
use crate::origins::Origins;
use crate::rate_limits::Limits;
use crate::reload_errors::ReloadSource;
use crate::server_state::ServerState;
use crate::shutdown::{CLOSE_TIMEOUT, SHUTDOWN_TIMEOUT};
use crate::tls::TlsConfig;

/// Serves a backend to WebSocket clients. Cheap to clone; clones share their sockets.
#[derive(Clone)]
pub struct Server {
    pub(crate) state: Arc<ServerState>,
}

impl Server {
    /// Creates a server without sockets.
    ///
    /// # Errors
    ///
    /// Those of [`Config::validate`].
    pub fn new(backend: Arc<dyn Backend>, config: Config) -> CacheResult<Self> {
        config.validate()?;
        config.log_socket_limit();
        Ok(Self {
            state: Arc::new(ServerState::new(backend, config)),
        })
    }

    /// Returns the routes `/v1/ws`, `/healthz`, `/readyz` and `/`, to be served on their own or
    /// within another application.
    ///
    /// The caller turns on `TCP_NODELAY`, and calls [`close`](Self::close) at the end, because
    /// upgraded sockets outlive the listener.
    pub fn router(&self) -> Router {
        let router = Router::new()
            .route("/v1/ws", any(crate::handshake::upgrade))
            .merge(crate::health::routes())
            .with_state(Arc::clone(&self.state));
        let config = &self.state.config;
        let router = crate::page::routes(router, config.www.as_deref(), &config.memory_budget);
        let check = from_fn_with_state(Arc::clone(&self.state), crate::request_checks::check);
        let check_name =
            from_fn_with_state(Arc::clone(&self.state), crate::request_checks::check_name);
        crate::page::with_headers(router.layer(check_name).layer(check))
    }

    /// Serves until `shutdown` completes, then stops accepting and [closes](Self::close) every
    /// socket with 1001.
    ///
    /// Returns when all sockets have ended, or when [`Config::drain_period`] and
    /// [`SHUTDOWN_TIMEOUT`] have passed.
    ///
    /// # Errors
    ///
    /// None at present: if the server cannot accept a connection, it logs that and goes on.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let acceptor = Acceptor::new(
            Arc::clone(&self.state),
            self.router(),
            self.state.handshake_places.clone(),
            self.state.config.handshake_timeout,
        );
        let acceptor = acceptor.ends_with_shutdown().with_tls();
        let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        let acceptor = match listener.local_addr() {
            Ok(address) if is_loopback(address) => acceptor.on_loopback(),
            _ => acceptor,
        };
        let acceptor = Arc::new(acceptor);
        let begin_shutdown = async {
            shutdown.await;
            self.state.begin_shutdown();
        };
        // A slow response must not hold up the shutdown.
        let overdue = async {
            let end = self.state.shutdown.drain_end().await;
            // Sockets that are still open then are no longer waited for.
            let _ = tokio::time::timeout_at(end + CLOSE_TIMEOUT, self.close()).await;
            tokio::time::sleep(SHUTDOWN_TIMEOUT - CLOSE_TIMEOUT).await;
        };
        let all_ended = async {
            Arc::clone(&acceptor).run(listener, begin_shutdown).await;
            // Responses under way.
            self.state.handshake_places.until_free().await;
            self.close().await;
        };
        // Dropping the set ends the tasks.
        let mut tasks = JoinSet::new();
        let state = Arc::clone(&self.state);
        tasks.spawn(async move { state.busy_poll.run().await });
        let state = Arc::clone(&self.state);
        tasks.spawn(async move { state.log_suppressed().await });
        let state = Arc::clone(&self.state);
        tasks.spawn(async move { state.access.fetch_keys(&state.reload_errors).await });
        let budget = self.state.config.memory_budget.clone();
        tasks.spawn(async move { memory_watch::watch(&budget).await });
        tokio::select! {
            () = all_ended => {}
            () = overdue => {}
        }
        self.state.log_suppressed_now();
        Ok(())
    }

    /// Returns the routes `/metrics`, `/healthz` and `/readyz` for operators, to be served where
    /// clients cannot reach them: they have no authentication.
    ///
    /// `/metrics` has the format of Prometheus. `/readyz` has its reasons as JSON. A request by a name
    /// that is none of [`Config::admin_hosts`] gets 421.
    pub fn admin_router(&self) -> Router {
        crate::admin::router(&self.state)
    }

    /// Serves [`admin_router`](Self::admin_router), during a shutdown too. Never returns.
    pub async fn serve_admin(&self, listener: TcpListener) {
        let acceptor = Arc::new(crate::admin::acceptor(&self.state));
        acceptor.run(listener, std::future::pending()).await;
    }

    /// Replaces the policy of [`Config::access`], and closes no socket whose token it accepts. Waits
    /// and subscriptions that it does not permit end with `NOPERM`.
    ///
    /// # Errors
    ///
    /// `CONFIG` if the policy is invalid, or if the server began without one. The old policy stays.
    pub fn set_access(&self, policy: AuthPolicy) -> CacheResult<()> {
        let invalid =
            |why: &dyn fmt::Display| CacheError::ConfigError(format!("invalid access: {why}"));
        policy.validate().map_err(|error| invalid(&error))?;
        if self.state.access.replace(policy) {
            Ok(())
        } else {
            Err(invalid(&"the server began without a policy"))
        }
    }

    /// Replaces the list of revoked tokens. Sockets with such a token are drained, and closed with
    /// 4401.
    pub fn set_revoked_tokens(&self, revoked: RevokedTokens) {
        self.state.access.set_revoked(revoked);
    }

    /// Replaces [`Config::origins`] for handshakes that begin from now on.
    pub fn set_origins(&self, origins: Origins) {
        self.state.set_origins(origins);
    }

    /// Replaces [`Config::limits`], for open sockets too. Sockets beyond a new bound stay open.
    ///
    /// # Errors
    ///
    /// `CONFIG` if a limit is 0. The old limits stay.
    pub fn set_limits(&self, limits: Option<Limits>) -> CacheResult<()> {
        if let Some(limits) = &limits {
            limits.validate()?;
        }
        let state = &self.state;
        state.limits.replace(state.config.effective_limits(limits));
        Ok(())
    }

    /// Replaces [`Config::tls`] for handshakes that begin from now on. Open sockets go on as before.
    ///
    /// # Errors
    ///
    /// `CONFIG` if the server began without TLS.
    pub fn set_tls(&self, config: TlsConfig) -> CacheResult<()> {
        match &self.state.tls {
            Some(tls) => {
                tls.replace(config);
                Ok(())
            }
            None => Err(CacheError::ConfigError(
                "cannot replace the certificate: the server began without TLS".to_owned(),
            )),
        }
    }

    /// Says why the last reading of a source failed, or with `None` that it did not. The server goes
    /// on as before; `/readyz` and `/metrics` of [`admin_router`](Self::admin_router) show it.
    pub fn set_reload_error(&self, source: ReloadSource, error: Option<String>) {
        self.state.reload_errors.set(source, error);
    }

    /// Refuses new sockets and closes the open ones with 1001, spread evenly over
    /// [`Config::drain_period`].
    ///
    /// Until its turn, a socket is served as before. Then the server reads no further from it, ends
    /// its waits and subscriptions, and answers the operations that it has begun. Returns when all
    /// sockets have ended: within that period and [`CLOSE_TIMEOUT`].
    ///
    /// # Cancel safety
    ///
    /// Once polled, dropping the future does not stop the shutdown.
    pub async fn close(&self) {
        self.state.begin_shutdown();
        self.state.until_no_sockets().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.state.config)
            .finish_non_exhaustive()
    }
}
