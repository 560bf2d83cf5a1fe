//! What all sockets and routes of a server share.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use streamgate_backend::Backend;
use tokio::sync::Semaphore;

use crate::accept::HandshakePlaces;
use crate::access::AccessControl;
use crate::address_key::AddressKey;
use crate::busy_poll::BusyPoll;
use crate::client_registry::ClientRegistry;
use crate::config::Config;
use crate::large_requests::LargeRequests;
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::origins::Origins;
use crate::rate_limits::RateLimits;
use crate::refusal::{Refusal, Refusals};
use crate::reload_errors::ReloadErrors;
use crate::shutdown::Shutdown;
use crate::socket_shares::SocketShares;
use crate::tls::CurrentTls;
use crate::trusted_proxies::TrustedProxies;
use crate::wait_shares::WaitShares;

/// How often the server logs the numbers of suppressed lines that no later line has reported.
const SUPPRESSED_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The shared state of a server.
pub(crate) struct ServerState {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: Config,
    pub(crate) shutdown: Shutdown,
    pub(crate) busy_poll: BusyPoll,
    pub(crate) access: AccessControl,
    origins: RwLock<Arc<Origins>>,
    /// The TLS settings of the public listener; `None` if it speaks plain HTTP.
    pub(crate) tls: Option<CurrentTls>,
    pub(crate) reload_errors: ReloadErrors,
    pub(crate) clients: ClientRegistry,
    pub(crate) waits: WaitShares,
    pub(crate) large_requests: LargeRequests,
    /// The rates of subjects and addresses.
    pub(crate) limits: RateLimits,
    /// Each socket holds a permit: this bounds their number, and a shutdown can await their end.
    pub(crate) socket_permits: Arc<Semaphore>,
    /// Beside it, each socket has a share of those of its address.
    pub(crate) socket_shares: SocketShares,
    /// Held by connections that are no sockets yet.
    pub(crate) handshake_places: HandshakePlaces,
    /// Held by sockets whose client has not said hello, if there is a policy.
    pub(crate) hello_places: HandshakePlaces,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) refusals: Refusals,
    /// Lines about sockets that the server closes.
    pub(crate) close_log: LogLimit,
    pub(crate) metrics: Metrics,
    pub(crate) started_at: SystemTime,
}

impl ServerState {
    pub(crate) fn new(backend: Arc<dyn Backend>, config: Config) -> Self {
        Self {
            shutdown: Shutdown::new(config.drain_period),
            busy_poll: BusyPoll::new(config.busy_poll),
            access: AccessControl::new(config.access.clone()),
            origins: RwLock::new(Arc::new(config.origins.clone())),
            tls: config.tls.clone().map(CurrentTls::new),
            reload_errors: ReloadErrors::default(),
            clients: ClientRegistry::default(),
            waits: WaitShares::default(),
            large_requests: LargeRequests::new(),
            limits: RateLimits::new(config.effective_limits(config.limits)),
            socket_permits: Arc::new(Semaphore::new(config.socket_limit() as usize)),
            socket_shares: SocketShares::new(config.sockets_per_address()),
            handshake_places: HandshakePlaces::new(
                config.max_handshakes,
                config.max_handshakes_per_address,
            ),
            hello_places: HandshakePlaces::of_hellos(
                config.max_hellos(),
                config.max_handshakes_per_address,
            ),
            trusted_proxies: TrustedProxies::new(&config.trusted_proxies),
            refusals: Refusals::new(),
            close_log: LogLimit::new(),
            metrics: Metrics::default(),
            started_at: SystemTime::now(),
            backend,
            config,
        }
    }

    /// Begins the shutdown of all open sockets. Later calls do nothing.
    pub(crate) fn begin_shutdown(&self) {
        let sockets = self.open_sockets();
        if self.shutdown.begin(sockets) {
            tracing::info!(
                sockets,
                drain_ms = self.config.drain_period.as_millis(),
                "shutting down"
            );
        }
    }

    /// Returns which pages may use the server, and by which names clients may reach it.
    pub(crate) fn origins(&self) -> Arc<Origins> {
        let origins = self.origins.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&origins)
    }

    pub(crate) fn set_origins(&self, origins: Origins) {
        let mut current = self.origins.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(origins);
    }

    /// Returns the address that a peer counts for; `None` if it is unknown, or that of a trusted
    /// proxy, which speaks for many.
    pub(crate) fn counted_address(&self, peer: Option<SocketAddr>) -> Option<AddressKey> {
        let counted = peer.filter(|peer| !self.trusted_proxies.contain(*peer));
        counted.map(AddressKey::of)
    }

    /// Returns whether an address may connect now. Counts and logs a refusal.
    pub(crate) fn admit_connection(&self, address: AddressKey, peer: SocketAddr) -> bool {
        let admitted = self.limits.admit_connection(address);
        if !admitted {
            let refusal = Refusal::TooManyConnectionsOfAddress;
            self.refusals.record(refusal, Some(peer));
        }
        admitted
    }

    /// Returns how many sockets are open.
    pub(crate) fn open_sockets(&self) -> u32 {
        let free = u32::try_from(self.socket_permits.available_permits()).unwrap_or(u32::MAX);
        self.config.socket_limit().saturating_sub(free)
    }

    /// Logs, from time to time, how many lines were suppressed. Never returns.
    pub(crate) async fn log_suppressed(&self) {
        loop {
            tokio::time::sleep(SUPPRESSED_LOG_INTERVAL).await;
            self.log_suppressed_now();
        }
    }

    /// Logs how many lines were suppressed that no later line has reported.
    pub(crate) fn log_suppressed_now(&self) {
        self.refusals.log_suppressed();
        if let Some(suppressed) = self.close_log.take_suppressed() {
            tracing::info!(suppressed, "socket closed: suppressed lines");
        }
    }

    /// Returns when no socket is open any more.
    pub(crate) async fn until_no_sockets(&self) {
        // An error would mean that the semaphore is closed, which it never is.
        let _ = self
            .socket_permits
            .acquire_many(self.config.socket_limit())
            .await;
    }
}
