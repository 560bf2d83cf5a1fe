//! What a subject, an address and a socket may do a second, and how much they may hold.

use std::fmt;

use serde::Deserialize;
use streamgate_protocol::{CacheError, CacheResult};

use super::Rate;
use super::request_buckets::RequestRates;

/// Seconds whose worth may come at once, after a pause.
pub(super) const BURST_SECONDS: u64 = 5;

/// Limits of a server: of subjects, addresses and sockets.
///
/// Rates are averages: five seconds' worth may come at once. If requests come faster, the server
/// pauses before it reads more of a socket. A request that would need a pause of more than a second
/// is refused with `OVERLOADED` and the time after which it may succeed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// Of a subject, on all its sockets together; of anonymous clients, of those of one address.
    pub per_subject: SubjectLimits,
    /// Of an IPv4 address, or of a /64 of IPv6.
    pub per_address: AddressLimits,
    /// Of a socket.
    pub per_socket: SocketLimits,
}

/// Limits of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SubjectLimits {
    /// Sockets at once. Default 100: the tabs and devices of a person, or the workers of a service.
    pub sockets: u32,
    /// Requests and subscriptions a second. Default 20,000: far more than people and most services
    /// make, and a sixth of the adds of a server with two cores.
    pub requests_per_s: u64,
    /// Bytes of them a second. Default 50 MB: more than a line of 300 Mbit/s brings.
    pub bytes_per_s: u64,
    /// New dedup windows a second: first exactly-once adds of a client to a stream. Default 50: each
    /// is a key of Redis for a quarter of an hour, so a subject has 45,000 of them at most.
    pub new_windows_per_s: u64,
}

/// Limits of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AddressLimits {
    /// Attempts to connect a second. Default 200: a thousand clients behind one address may reconnect
    /// at once. Beyond them the server closes the connection before it costs a TLS handshake.
    pub connections_per_s: u64,
}

/// Limits of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SocketLimits {
    /// Requests and subscriptions a second. Default 10,000: half of a subject's, so that one socket
    /// leaves the others some.
    pub requests_per_s: u64,
    /// Bytes of them a second. Default 25 MB, for the same reason.
    pub bytes_per_s: u64,
}

impl Default for SubjectLimits {
    fn default() -> Self {
        Self {
            sockets: 100,
            requests_per_s: 20_000,
            bytes_per_s: 50_000_000,
            new_windows_per_s: 50,
        }
    }
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self {
            connections_per_s: 200,
        }
    }
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            requests_per_s: 10_000,
            bytes_per_s: 25_000_000,
        }
    }
}

impl SubjectLimits {
    pub(crate) fn rates(&self) -> RequestRates {
        rates(self.requests_per_s, self.bytes_per_s)
    }
}

impl SocketLimits {
    pub(crate) fn rates(&self) -> RequestRates {
        rates(self.requests_per_s, self.bytes_per_s)
    }
}

const fn rates(requests_per_s: u64, bytes_per_s: u64) -> RequestRates {
    RequestRates {
        requests: Rate::of(requests_per_s),
        bytes: Rate::of(bytes_per_s),
    }
}

impl Limits {
    /// Checks the limits.
    ///
    /// # Errors
    ///
    /// `CONFIG` for a limit of 0.
    pub(crate) fn validate(&self) -> CacheResult<()> {
        let Self {
            per_subject,
            per_address,
            per_socket,
        } = self;
        for (name, value) in [
            ("per_subject.sockets", u64::from(per_subject.sockets)),
            ("per_subject.requests_per_s", per_subject.requests_per_s),
            ("per_subject.bytes_per_s", per_subject.bytes_per_s),
            (
                "per_subject.new_windows_per_s",
                per_subject.new_windows_per_s,
            ),
            (
                "per_address.connections_per_s",
                per_address.connections_per_s,
            ),
            ("per_socket.requests_per_s", per_socket.requests_per_s),
            ("per_socket.bytes_per_s", per_socket.bytes_per_s),
        ] {
            if value == 0 {
                let why = format!("invalid limit {name} = 0; it must be at least 1");
                return Err(CacheError::ConfigError(why));
            }
        }
        Ok(())
    }
}

/// A line for each of what is limited.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SubjectLimits {
            sockets,
            requests_per_s,
            bytes_per_s,
            new_windows_per_s,
        } = self.per_subject;
        writeln!(
            f,
            "limits of a subject: {sockets} sockets, {requests_per_s} requests/s, {bytes_per_s} \
             bytes/s, {new_windows_per_s} new dedup windows/s"
        )?;
        let AddressLimits { connections_per_s } = self.per_address;
        writeln!(f, "limits of an address: {connections_per_s} connections/s")?;
        let SocketLimits {
            requests_per_s,
            bytes_per_s,
        } = self.per_socket;
        writeln!(
            f,
            "limits of a socket: {requests_per_s} requests/s, {bytes_per_s} bytes/s"
        )
    }
}
