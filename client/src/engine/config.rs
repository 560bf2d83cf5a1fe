//! What an owner can set.

use streamgate_protocol::codec::Encoding;

/// Settings of an [`Engine`](super::Engine). Times are milliseconds.
#[derive(Debug, Clone)]
pub struct Config {
    /// The encoding to offer.
    pub encoding: Encoding,
    /// How long one attempt to open a socket may take.
    pub connect_timeout_ms: u32,
    /// How long a call may wait to be sent, for a connection or for a place in flight.
    pub queue_timeout_ms: u32,
    /// How long the server's answer to a close is awaited.
    pub close_timeout_ms: u32,
    /// Longest pause before the first attempt to reconnect; it doubles with each one that fails.
    pub backoff_first_ms: u32,
    /// Longest pause before any attempt to reconnect.
    pub backoff_max_ms: u32,
    /// A connection that stayed open for so long makes the pauses start anew.
    pub stable_after_ms: u32,
    /// Where the pauses' jitter comes from. Two clients should not have the same.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            encoding: Encoding::Binary,
            connect_timeout_ms: 10_000,
            queue_timeout_ms: 30_000,
            close_timeout_ms: 3_000,
            backoff_first_ms: 100,
            backoff_max_ms: 10_000,
            stable_after_ms: 5_000,
            seed: 0,
        }
    }
}
