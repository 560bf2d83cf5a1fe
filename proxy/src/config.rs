//! The settings of a server, and their defaults.
//!
//! The command's flags (`cli/args.rs`) take their defaults from the constants here. The bounds that
//! are not settings are in `session/limits.rs`.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use streamgate_backend::MemoryBudget;
use streamgate_protocol::limits::{MIN_FRAME_BYTES, MIN_REQUESTS_IN_FLIGHT};
use streamgate_protocol::message::Welcome;
use streamgate_protocol::{CacheError, CacheResult};

use crate::auth::AuthPolicy;
use crate::machine_memory::default_budget_bytes;
use crate::origins::Origins;
use crate::rate_limits::Limits;
use crate::session::limits::IDLE_SOCKET_BYTES;
use crate::tls::{IDLE_TLS_BYTES, MAX_UNSENT_TLS_BYTES, TlsConfig};

pub use streamgate_protocol::limits::{
    DEFAULT_FRAME_BYTES, DEFAULT_HEARTBEAT_MS, DEFAULT_REQUESTS_IN_FLIGHT,
};

/// Default of [`Config::max_sockets`], unless the memory budget is too small for it.
///
/// An idle socket costs little. Without a bound, file handles and memory would run out for
/// everybody.
pub const DEFAULT_MAX_SOCKETS: u32 = 10_000;

/// Default of [`Config::write_timeout`]: as long as a client may be silent by default.
pub const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Default of [`Config::drain_period`].
///
/// 10,000 clients that reconnect within it make 2,500 handshakes a second, a fraction of what one
/// core of the next server can take. Together with [`CLOSE_TIMEOUT`](crate::CLOSE_TIMEOUT) it stays
/// below the 10 s after which a container is killed.
pub const DEFAULT_DRAIN_PERIOD: Duration = Duration::from_secs(4);

/// Default of [`Config::busy_poll`]: off, because it takes processor time that somebody else may
/// need or may have paid for.
pub const DEFAULT_BUSY_POLL: Duration = Duration::ZERO;

/// Shortest heartbeat in milliseconds.
///
/// A shorter one would send more pings than requests, and would take an ordinary network delay for
/// a dead client.
pub const MIN_HEARTBEAT_MS: u32 = 100;

/// Default of [`Config::handshake_timeout`]: enough for a slow line and for TLS before it.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Default of [`Config::max_handshakes`].
///
/// An honest handshake takes about a round trip, so this is enough for 10,000 a second at 100 ms.
/// Each connection takes about 20 KB meanwhile, and with TLS up to 60 KB.
pub const DEFAULT_MAX_HANDSHAKES: u32 = 1_024;

/// Default of [`Config::max_handshakes_per_address`]: enough for an office behind one address, and
/// one address alone cannot use up all.
pub const DEFAULT_MAX_HANDSHAKES_PER_ADDRESS: u32 = 256;

/// Longest time that a setting may have: a day. A larger value has the wrong unit.
pub const MAX_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest [`Config::busy_poll`]: a tenth of a second. A larger value has the wrong unit.
pub const MAX_BUSY_POLL: Duration = Duration::from_millis(100);

/// Most sockets, and most handshakes: more than a machine has ports and files for.
pub const MAX_CONNECTIONS: u32 = 1 << 24;

/// Smallest memory budget in bytes: room for a frame and a reply of the largest size, beside others.
pub const MIN_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// The settings of a [`Server`](crate::Server).
///
/// ```
/// use std::time::Duration;
/// use streamgate::Config;
///
/// let config = Config::default()
///     .max_sockets(1_000)
///     .write_timeout(Duration::from_secs(10));
/// assert_eq!(config.socket_limit(), 1_000);
/// config.validate().unwrap();
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Requests in flight on one socket, waits and subscriptions included. The server answers
    /// more with `OVERLOADED`.
    pub max_in_flight: u32,
    /// Largest frame in bytes that the server reads. A larger one closes its socket with 4413.
    pub max_frame_bytes: u32,
    /// Heartbeat interval in milliseconds. The server closes a socket with 4408 after two
    /// intervals of silence.
    pub heartbeat_ms: u32,
    /// Sockets open at once. The server refuses more with HTTP 503. `None` is
    /// [`DEFAULT_MAX_SOCKETS`], or fewer if half of the
    /// [memory budget](Self::memory_budget) has no room for so many idle ones.
    pub max_sockets: Option<u32>,
    /// Sockets open at once from one address, or from one /64 of IPv6. The server refuses more with
    /// HTTP 503. `None` is half of the [bound on all](Self::socket_limit). Trusted proxies have no such
    /// bound.
    pub max_sockets_per_address: Option<u32>,
    /// Time that [`Server::serve`](crate::Server::serve) gives a connection to send its whole
    /// request and to become a socket.
    pub handshake_timeout: Duration,
    /// Connections of [`Server::serve`](crate::Server::serve) that are no sockets yet, at once. If
    /// there are more, it closes the oldest.
    pub max_handshakes: u32,
    /// Those from one address, or from one /64 of IPv6. If there are more, it closes the oldest of
    /// them. Trusted proxies have no such bound.
    pub max_handshakes_per_address: u32,
    /// Addresses of the proxies in front of [`Server::serve`](crate::Server::serve). From these
    /// alone it takes a client's address from version 2 of the PROXY protocol, or from
    /// `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpNet>,
    /// Host names by which [`Server::admin_router`](crate::Server::admin_router) may be asked, beside
    /// addresses and `localhost`. It answers any other `Host` with 421: it may be that of a web page
    /// which reaches the listener through a browser (DNS rebinding).
    pub admin_hosts: Vec<String>,
    /// Time without progress of a write after which the server closes a socket with 4429. If the
    /// client receives a group's entries, and sends nothing either, two heartbeat intervals at most.
    pub write_timeout: Duration,
    /// Time over which a shutdown spreads the closing of sockets, so that their clients do not all
    /// reconnect elsewhere at once. Zero closes all sockets at once.
    pub drain_period: Duration,
    /// Time for which [`Server::serve`](crate::Server::serve) polls for the next event after an
    /// event, before its thread sleeps. Zero turns busy polling off. Use it on a runtime with one
    /// thread only.
    pub busy_poll: Duration,
    /// Memory for all that clients make the server hold: frames, requests, replies, and what is not
    /// written yet. If it runs short, the server reads less, then refuses requests with
    /// `OVERLOADED`, then closes the sockets that hold most with 4503. Give the same budget to the
    /// backend, if it takes one. Clones of this config share the budget.
    ///
    /// The closing of sockets is done by [`Server::serve`](crate::Server::serve).
    pub memory_budget: MemoryBudget,
    /// Who may use the server, and what for. `None` lets everybody do everything. A server with a
    /// policy closes sockets without a valid token with 4401.
    pub access: Option<AuthPolicy>,
    /// Which pages may use the server, and by which names clients may reach it. Others get HTTP 403
    /// instead of a socket.
    pub origins: Origins,
    /// What a subject, an address and a socket may do a second, and hold. `None` limits nothing without
    /// [`access`](Self::access), and with it as [`Limits::default`] says.
    pub limits: Option<Limits>,
    /// The certificate of [`Server::serve`](crate::Server::serve), which then speaks TLS alone. `None`
    /// speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Folder served at `/`. Without one, the server shows a short page.
    pub www: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_in_flight: DEFAULT_REQUESTS_IN_FLIGHT,
            max_frame_bytes: DEFAULT_FRAME_BYTES,
            heartbeat_ms: DEFAULT_HEARTBEAT_MS,
            max_sockets: None,
            max_sockets_per_address: None,
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            max_handshakes: DEFAULT_MAX_HANDSHAKES,
            max_handshakes_per_address: DEFAULT_MAX_HANDSHAKES_PER_ADDRESS,
            trusted_proxies: Vec::new(),
            admin_hosts: Vec::new(),
            write_timeout: DEFAULT_WRITE_TIMEOUT,
            drain_period: DEFAULT_DRAIN_PERIOD,
            busy_poll: DEFAULT_BUSY_POLL,
            memory_budget: MemoryBudget::new(default_budget_bytes()),
            access: None,
            origins: Origins::new(),
            limits: None,
            tls: None,
            www: None,
        }
    }
}

impl Config {
    /// Sets [`max_in_flight`](Self::max_in_flight); default [`DEFAULT_REQUESTS_IN_FLIGHT`].
    #[must_use]
    pub fn max_in_flight(mut self, requests: u32) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// Sets [`max_frame_bytes`](Self::max_frame_bytes); default [`DEFAULT_FRAME_BYTES`].
    #[must_use]
    pub fn max_frame_bytes(mut self, bytes: u32) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// Sets [`heartbeat_ms`](Self::heartbeat_ms); default [`DEFAULT_HEARTBEAT_MS`].
    #[must_use]
    pub fn heartbeat_ms(mut self, milliseconds: u32) -> Self {
        self.heartbeat_ms = milliseconds;
        self
    }

    /// Sets [`max_sockets`](Self::max_sockets); default [`DEFAULT_MAX_SOCKETS`], or fewer.
    #[must_use]
    pub fn max_sockets(mut self, sockets: u32) -> Self {
        self.max_sockets = Some(sockets);
        self
    }

    /// Sets [`max_sockets_per_address`](Self::max_sockets_per_address); default half of
    /// [`socket_limit`](Self::socket_limit).
    #[must_use]
    pub fn max_sockets_per_address(mut self, sockets: u32) -> Self {
        self.max_sockets_per_address = Some(sockets);
        self
    }

    /// Sets [`handshake_timeout`](Self::handshake_timeout); default [`DEFAULT_HANDSHAKE_TIMEOUT`].
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets [`max_handshakes`](Self::max_handshakes); default [`DEFAULT_MAX_HANDSHAKES`].
    #[must_use]
    pub fn max_handshakes(mut self, connections: u32) -> Self {
        self.max_handshakes = connections;
        self
    }

    /// Sets [`max_handshakes_per_address`](Self::max_handshakes_per_address); default
    /// [`DEFAULT_MAX_HANDSHAKES_PER_ADDRESS`].
    #[must_use]
    pub fn max_handshakes_per_address(mut self, connections: u32) -> Self {
        self.max_handshakes_per_address = connections;
        self
    }

    /// Adds an address or a network to [`trusted_proxies`](Self::trusted_proxies); default none.
    #[must_use]
    pub fn trusted_proxy(mut self, proxy: impl Into<IpNet>) -> Self {
        self.trusted_proxies.push(proxy.into());
        self
    }

    /// Adds a name to [`admin_hosts`](Self::admin_hosts); default none.
    #[must_use]
    pub fn admin_host(mut self, name: impl Into<String>) -> Self {
        self.admin_hosts.push(name.into());
        self
    }

    /// Sets [`write_timeout`](Self::write_timeout); default [`DEFAULT_WRITE_TIMEOUT`].
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets [`drain_period`](Self::drain_period); default [`DEFAULT_DRAIN_PERIOD`].
    #[must_use]
    pub fn drain_period(mut self, period: Duration) -> Self {
        self.drain_period = period;
        self
    }

    /// Sets [`busy_poll`](Self::busy_poll); default [`DEFAULT_BUSY_POLL`].
    #[must_use]
    pub fn busy_poll(mut self, period: Duration) -> Self {
        self.busy_poll = period;
        self
    }

    /// Sets [`memory_budget`](Self::memory_budget); default half of the memory of the machine, or of
    /// the cgroup of this process.
    #[must_use]
    pub fn memory_budget(mut self, budget: MemoryBudget) -> Self {
        self.memory_budget = budget;
        self
    }

    /// Sets [`limits`](Self::limits); default none without a policy.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Sets [`access`](Self::access); default `None`.
    #[must_use]
    pub fn access(mut self, policy: AuthPolicy) -> Self {
        self.access = Some(policy);
        self
    }

    /// Sets [`origins`](Self::origins); default [`Origins::new`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets [`tls`](Self::tls); default `None`.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets [`www`](Self::www); default `None`.
    #[must_use]
    pub fn www(mut self, folder: impl Into<PathBuf>) -> Self {
        self.www = Some(folder.into());
        self
    }

    /// Checks that every setting is within what the protocol allows.
    ///
    /// # Errors
    ///
    /// `CONFIG`; the message names the field, its value and the bound.
    pub fn validate(&self) -> CacheResult<()> {
        let connections = 1..=MAX_CONNECTIONS;
        let milliseconds = u32::try_from(MAX_PERIOD.as_millis()).unwrap_or(u32::MAX);
        for (field, value, allowed) in [
            (
                "max_in_flight",
                self.max_in_flight,
                MIN_REQUESTS_IN_FLIGHT..=u32::MAX,
            ),
            (
                "max_frame_bytes",
                self.max_frame_bytes,
                MIN_FRAME_BYTES..=u32::MAX,
            ),
            (
                "heartbeat_ms",
                self.heartbeat_ms,
                MIN_HEARTBEAT_MS..=milliseconds,
            ),
            ("max_sockets", self.socket_limit(), connections.clone()),
            (
                "max_sockets_per_address",
                self.sockets_per_address(),
                connections.clone(),
            ),
            ("max_handshakes", self.max_handshakes, connections.clone()),
            (
                "max_handshakes_per_address",
                self.max_handshakes_per_address,
                connections,
            ),
        ] {
            within(field, value, &allowed)?;
        }
        if let Some(limits) = &self.limits {
            limits.validate()?;
        }
        let shortest = Duration::from_millis(1);
        for (field, value, allowed) in [
            ("write_timeout", self.write_timeout, shortest..=MAX_PERIOD),
            (
                "handshake_timeout",
                self.handshake_timeout,
                shortest..=MAX_PERIOD,
            ),
            (
                "drain_period",
                self.drain_period,
                Duration::ZERO..=MAX_PERIOD,
            ),
            ("busy_poll", self.busy_poll, Duration::ZERO..=MAX_BUSY_POLL),
        ] {
            within(field, value, &allowed)?;
        }
        if let Some(network) = self.trusted_proxies.iter().find(|n| n.prefix_len() == 0) {
            return Err(CacheError::ConfigError(format!(
                "invalid trusted_proxies {network}: it would let everybody choose an address; name \
                 the networks of your proxies"
            )));
        }
        if let Some(Err(error)) = self.access.as_ref().map(AuthPolicy::validate) {
            return Err(CacheError::ConfigError(format!("invalid access: {error}")));
        }
        let budget = self.memory_budget.max_bytes();
        if budget < MIN_MEMORY_BYTES {
            return Err(CacheError::ConfigError(format!(
                "invalid memory_budget of {budget} bytes: it must be at least {MIN_MEMORY_BYTES}"
            )));
        }
        Ok(())
    }

    /// Returns the bound on open sockets: [`max_sockets`](Self::max_sockets), or its default for
    /// the memory budget.
    pub fn socket_limit(&self) -> u32 {
        let default = || DEFAULT_MAX_SOCKETS.min(self.sockets_in_half_of_memory().max(1));
        self.max_sockets.unwrap_or_else(default)
    }

    /// Returns the bytes that an idle socket takes.
    pub(crate) fn idle_socket_bytes(&self) -> usize {
        match self.tls {
            Some(_) => IDLE_SOCKET_BYTES + IDLE_TLS_BYTES,
            None => IDLE_SOCKET_BYTES,
        }
    }

    /// Returns the bytes that TLS may hold of a socket whose client reads too slowly.
    pub(crate) fn max_unsent_tls_bytes(&self) -> usize {
        match self.tls {
            Some(_) => MAX_UNSENT_TLS_BYTES,
            None => 0,
        }
    }

    /// Returns how many idle sockets half of the memory budget has room for. The other half is for
    /// what they ask for.
    fn sockets_in_half_of_memory(&self) -> u32 {
        let sockets = self.memory_budget.max_bytes() / 2 / self.idle_socket_bytes();
        u32::try_from(sockets).unwrap_or(u32::MAX)
    }

    /// Logs if the memory budget and the bound on sockets do not fit together.
    pub(crate) fn log_socket_limit(&self) {
        let memory = self.memory_budget.max_bytes();
        let fitting = self.sockets_in_half_of_memory();
        match self.max_sockets {
            None if fitting < DEFAULT_MAX_SOCKETS => tracing::info!(
                memory,
                max_sockets = self.socket_limit(),
                "fewer sockets than by default: the memory budget has no room for more"
            ),
            Some(max_sockets) if max_sockets > fitting => tracing::warn!(
                memory,
                max_sockets,
                fitting,
                "idle sockets alone could take more than half of the memory budget; raise \
                 --max-memory, or lower --max-sockets"
            ),
            _ => {}
        }
    }

    /// Returns the limits that are in force if these are set: a server that strangers reach has some.
    pub(crate) fn effective_limits(&self, limits: Option<Limits>) -> Option<Limits> {
        limits.or_else(|| self.access.as_ref().map(|_| Limits::default()))
    }

    /// Returns how many sockets may be without a hello, if there is a policy: a share of all, so that
    /// strangers leave room for subjects.
    pub(crate) fn max_hellos(&self) -> u32 {
        (self.socket_limit() / 4).clamp(1, self.max_handshakes.max(1))
    }

    /// Returns the bound on sockets from one address.
    pub(crate) fn sockets_per_address(&self) -> u32 {
        let default = self.socket_limit().div_ceil(2);
        self.max_sockets_per_address.unwrap_or(default)
    }

    pub(crate) fn welcome(&self) -> Welcome {
        Welcome::new(
            concat!("streamgate/", env!("CARGO_PKG_VERSION")),
            self.max_in_flight,
            self.max_frame_bytes,
            self.heartbeat_ms,
        )
    }
}

fn within<T: PartialOrd + fmt::Debug>(
    field: &str,
    value: T,
    allowed: &RangeInclusive<T>,
) -> CacheResult<()> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let (min, max) = (allowed.start(), allowed.end());
    Err(CacheError::ConfigError(format!(
        "invalid {field} {value:?}: it must be {min:?} at least and {max:?} at most"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn a_small_memory_budget_lowers_the_default_of_max_sockets_only() {
        let limit = |bytes, config: Config| {
            let config = config.memory_budget(MemoryBudget::new(bytes));
            (config.socket_limit(), config.sockets_per_address())
        };
        let enough = 2 * DEFAULT_MAX_SOCKETS as usize * IDLE_SOCKET_BYTES;
        assert_eq!(limit(enough, Config::default()), (10_000, 5_000));
        assert_eq!(limit(enough / 4, Config::default()), (2_500, 1_250));
        let explicit = Config::default().max_sockets(9_000);
        assert_eq!(limit(enough / 4, explicit), (9_000, 4_500));
    }

    #[test]
    fn a_value_out_of_its_bounds_is_refused() {
        let everybody: IpNet = "0.0.0.0/0".parse().unwrap();
        let invalid = [
            Config::default().max_in_flight(MIN_REQUESTS_IN_FLIGHT - 1),
            Config::default().max_frame_bytes(MIN_FRAME_BYTES - 1),
            Config::default().heartbeat_ms(MIN_HEARTBEAT_MS - 1),
            Config::default().max_sockets(0),
            Config::default().max_sockets(u32::MAX),
            Config::default().max_sockets_per_address(0),
            Config::default().max_handshakes(0),
            Config::default().max_handshakes_per_address(0),
            Config::default().heartbeat_ms(u32::MAX),
            Config::default().write_timeout(Duration::ZERO),
            Config::default().write_timeout(Duration::MAX),
            Config::default().handshake_timeout(Duration::ZERO),
            Config::default().handshake_timeout(Duration::MAX),
            Config::default().drain_period(Duration::MAX),
            Config::default().busy_poll(Duration::MAX),
            Config::default().trusted_proxy(everybody),
            Config::default().memory_budget(MemoryBudget::new(MIN_MEMORY_BYTES - 1)),
        ];
        for config in invalid {
            let error = config.validate().unwrap_err();
            assert_eq!(error.code(), "CONFIG", "{config:?}");
        }
    }
}
