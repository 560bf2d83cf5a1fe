//! What a server grants.

use std::path::PathBuf;
use std::time::Duration;

use streamgate_protocol::limits::{
    DEFAULT_FRAME_BYTES, DEFAULT_HEARTBEAT_MS, DEFAULT_REQUESTS_IN_FLIGHT, MIN_FRAME_BYTES,
    MIN_REQUESTS_IN_FLIGHT,
};
use streamgate_protocol::message::Welcome;
use streamgate_protocol::{CacheError, CacheResult};

/// Sockets open at once by default. At about 30 KiB each, an idle one costs little; without a
/// bound, file handles and memory would run out for everybody.
pub const DEFAULT_MAX_SOCKETS: u32 = 10_000;

/// Time without any progress of a write after which a client is taken for one that does not read,
/// by default: as long as silence is borne.
pub const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time over which a server that ends closes its sockets, by default: 10,000 clients that come back
/// in it are 2,500 handshakes a second, a fraction of what one core of the next server makes. With
/// [`CLOSE_TIMEOUT`](super::CLOSE_TIMEOUT) it is less than the 10 s after which a container is
/// killed.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(4);

/// Shortest heartbeat in milliseconds. Less would be more pings than work, and would take an
/// ordinary delay of the network for a death.
pub const MIN_HEARTBEAT_MS: u32 = 100;

/// What a server grants, and what it serves beside the endpoint.
#[derive(Debug, Clone)]
pub struct Config {
    /// Requests in flight on one socket; more are answered with `OVERLOADED`.
    pub max_in_flight: u32,
    /// Largest frame in bytes that is taken; a larger one closes its socket with 4413.
    pub max_frame_bytes: u32,
    /// How often in milliseconds a client has to be heard. After two such times of silence its
    /// socket is closed with 4408.
    pub heartbeat_ms: u32,
    /// Sockets open at once; one more is answered with HTTP 503.
    pub max_sockets: u32,
    /// Time without any progress of a write after which a socket is closed with 4429.
    pub write_timeout: Duration,
    /// Time over which sockets are closed, one after the other, when the server ends, so that
    /// their clients do not all come to another one together; zero closes all at once.
    pub drain: Duration,
    /// How long [`Server::serve`](super::Server::serve) looks for what comes next, after something came,
    /// before it sleeps; zero for not at all. It is of use on a runtime with one thread: of several,
    /// one is looking already, and sleeps.
    pub busy_poll: Duration,
    /// A folder to serve at `/`; without it there is a page of a few words.
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
            drain: DEFAULT_DRAIN,
            busy_poll: Duration::ZERO,
            www: None,
        }
    }
}

impl Config {
    /// Refuses what the protocol does not allow.
    ///
    /// # Errors
    ///
    /// `CONFIG`, which names the field and its least value.
    pub fn validate(&self) -> CacheResult<()> {
        at_least("max_in_flight", self.max_in_flight, MIN_REQUESTS_IN_FLIGHT)?;
        at_least("max_frame_bytes", self.max_frame_bytes, MIN_FRAME_BYTES)?;
        at_least("heartbeat_ms", self.heartbeat_ms, MIN_HEARTBEAT_MS)?;
        at_least("max_sockets", self.max_sockets, 1)?;
        if self.write_timeout.is_zero() {
            return Err(CacheError::ConfigError("write_timeout is zero".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn welcome(&self) -> Welcome {
        Welcome {
            server: concat!("streamgate/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_in_flight: self.max_in_flight,
            max_frame_bytes: self.max_frame_bytes,
            heartbeat_ms: self.heartbeat_ms,
        }
    }
}

fn at_least(field: &str, value: u32, least: u32) -> CacheResult<()> {
    if value >= least {
        return Ok(());
    }
    Err(CacheError::ConfigError(format!(
        "{field} is {value}; it has to be at least {least}"
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
    fn less_than_the_minimum_is_refused() {
        let wrong: [fn(&mut Config); 5] = [
            |config| config.max_in_flight = MIN_REQUESTS_IN_FLIGHT - 1,
            |config| config.max_frame_bytes = MIN_FRAME_BYTES - 1,
            |config| config.heartbeat_ms = MIN_HEARTBEAT_MS - 1,
            |config| config.max_sockets = 0,
            |config| config.write_timeout = Duration::ZERO,
        ];
        for make_wrong in wrong {
            let mut config = Config::default();
            make_wrong(&mut config);
            assert_eq!(
                config.validate().unwrap_err().code(),
                "CONFIG",
                "{config:?}"
            );
        }
    }
}
