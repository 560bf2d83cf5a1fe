//! What an owner can set.

use streamgate_protocol::codec::Encoding;

/// Entries that a subscription may have on their way or waiting for its owner. They are granted
/// again by halves, and half of these lasts for a round trip of 50 ms at 10 000 entries a second.
const DEFAULT_CREDIT_ENTRIES: u32 = 1_024;

/// The same in bytes: half of these lasts for a round trip of 40 ms at 100 Mbit/s, and dozens of
/// subscriptions fit into a browser's tab.
const DEFAULT_CREDIT_BYTES: u32 = 1024 * 1024;

/// Settings of an [`Engine`](super::Engine). Times are milliseconds.
#[derive(Debug, Clone)]
pub struct Config {
    /// The encoding to offer.
    pub encoding: Encoding,
    /// How long one attempt to open a socket may take.
    pub connect_timeout_ms: u32,
    /// How long a call may wait to be sent, for a connection or for a place in flight; and how long one
    /// whose answer the server lost tries to find it out.
    pub queue_timeout_ms: u32,
    /// How long the server's answer to a close is awaited.
    pub close_timeout_ms: u32,
    /// Longest pause before the first attempt to reconnect; it doubles with each one that fails.
    pub backoff_first_ms: u32,
    /// Longest pause before any attempt to reconnect.
    pub backoff_max_ms: u32,
    /// A connection that stayed open for so long makes the pauses start anew.
    pub stable_after_ms: u32,
    /// Entries that may be on their way to one subscription, or wait there to be taken; of a
    /// consumer not more than its batch; 1 024 by default. 0 counts as 1.
    pub credit_entries: u32,
    /// The same in bytes; one entry may go beyond; 1 MiB by default. 0 counts as 1.
    pub credit_bytes: u32,
    /// Whether adds are done once, also if they have to be asked for again: true by default. It costs
    /// Redis about 1.7 times a plain add where many are in flight. Without it an add whose answer is
    /// lost ends with `UNKNOWN_OUTCOME`.
    pub exactly_once: bool,
    /// Where the pauses' jitter comes from. And the names under which adds are
    /// done once: no two clients may have the same.
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
            credit_entries: DEFAULT_CREDIT_ENTRIES,
            credit_bytes: DEFAULT_CREDIT_BYTES,
            exactly_once: true,
            seed: 0,
        }
    }
}
