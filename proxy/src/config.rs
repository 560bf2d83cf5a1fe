//! The settings of a server, and their defaults.
//!
//! The command's flags (`cli/args.rs`) take their defaults from the constants here. The bounds that
//! are not settings are in `session/limits.rs`.

use std::path::PathBuf;
use std::time::Duration;

use streamgate_protocol::limits::{MIN_FRAME_BYTES, MIN_REQUESTS_IN_FLIGHT};
use streamgate_protocol::message::Welcome;
use streamgate_protocol::{CacheError, CacheResult};

pub use streamgate_protocol::limits::{
    DEFAULT_FRAME_BYTES, DEFAULT_HEARTBEAT_MS, DEFAULT_REQUESTS_IN_FLIGHT,
};

/// Default of [`Config::max_sockets`].
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

/// The settings of a [`Server`](crate::Server).
///
/// ```
/// use std::time::Duration;
/// use streamgate::Config;
///
/// let config = Config::default()
///     .max_sockets(1_000)
///     .write_timeout(Duration::from_secs(10));
/// assert_eq!(config.max_sockets, 1_000);
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
    /// Sockets open at once. The server refuses more with HTTP 503.
    pub max_sockets: u32,
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
    /// Folder served at `/`. Without one, the server shows a short page.
    pub www: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_in_flight: DEFAULT_REQUESTS_IN_FLIGHT,
            max_frame_bytes: DEFAULT_FRAME_BYTES,
            heartbeat_ms: DEFAULT_HEARTBEAT_MS,
            max_sockets: DEFAULT_MAX_SOCKETS,
            write_timeout: DEFAULT_WRITE_TIMEOUT,
            drain_period: DEFAULT_DRAIN_PERIOD,
            busy_poll: DEFAULT_BUSY_POLL,
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

    /// Sets [`max_sockets`](Self::max_sockets); default [`DEFAULT_MAX_SOCKETS`].
    #[must_use]
    pub fn max_sockets(mut self, sockets: u32) -> Self {
        self.max_sockets = sockets;
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
    /// `CONFIG`; the message names the field, its value and the minimum.
    pub fn validate(&self) -> CacheResult<()> {
        at_least("max_in_flight", self.max_in_flight, MIN_REQUESTS_IN_FLIGHT)?;
        at_least("max_frame_bytes", self.max_frame_bytes, MIN_FRAME_BYTES)?;
        at_least("heartbeat_ms", self.heartbeat_ms, MIN_HEARTBEAT_MS)?;
        at_least("max_sockets", self.max_sockets, 1)?;
        if self.write_timeout.is_zero() {
            let why = "invalid write_timeout 0: it must be longer than zero";
            return Err(CacheError::ConfigError(why.to_owned()));
        }
        Ok(())
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

fn at_least(field: &str, value: u32, min: u32) -> CacheResult<()> {
    if value >= min {
        return Ok(());
    }
    Err(CacheError::ConfigError(format!(
        "invalid {field} {value}: it must be at least {min}"
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
    fn a_value_below_its_minimum_is_refused() {
        let invalid = [
            Config::default().max_in_flight(MIN_REQUESTS_IN_FLIGHT - 1),
            Config::default().max_frame_bytes(MIN_FRAME_BYTES - 1),
            Config::default().heartbeat_ms(MIN_HEARTBEAT_MS - 1),
            Config::default().max_sockets(0),
            Config::default().write_timeout(Duration::ZERO),
        ];
        for config in invalid {
            let error = config.validate().unwrap_err();
            assert_eq!(error.code(), "CONFIG", "{config:?}");
        }
    }
}
