//! What a generator is commanded to do, and what it answers.

use serde::{Deserialize, Serialize};

/// A command. Times are in seconds, rates per second.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Keep `depth` adds in flight on each connection.
    Add {
        connections: usize,
        depth: usize,
        seconds: f64,
    },
    /// Keep `depth` reads of 100 entries from anywhere in a stream in flight on each connection.
    Read {
        connections: usize,
        depth: usize,
        seconds: f64,
    },
    /// Open tails of a new stream, each on a connection of its own, and wait until the first entry
    /// has arrived at all of them. Tails of earlier commands stay open.
    Tail { tails: usize },
    /// Add entries to the stream of the newest tails, and wait until they have arrived.
    Publish { rate: f64, seconds: f64 },
    /// Begin waits, each on a stream of its own, spread over the connections.
    Wait { waits: usize, connections: usize },
    /// Add to one waiting stream after the other, and wait for each wake.
    Wake { times: usize, rate: f64 },
    /// Begin consumers of one group, spread over the connections.
    Consume {
        consumers: usize,
        connections: usize,
        mode: ConsumeMode,
    },
    /// Add entries to the stream of the group, and wait until they have arrived.
    Distribute { rate: f64, seconds: f64 },
}

/// How a consumer gets the entries of a group, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ConsumeMode {
    /// By a subscription.
    Subscription,
    /// By reads that wait.
    GroupReads,
}

/// The outcome of a command.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Adds, reads, deliveries or wakes.
    pub(crate) operations: f64,
    /// Entries that were added for others to receive.
    pub(crate) entries: f64,
    pub(crate) seconds: f64,
    /// The share of the commanded rate that was reached.
    pub(crate) rate_reached: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Deliveries that did not come.
    pub(crate) lost: f64,
    /// Deliveries that came twice or out of order.
    pub(crate) wrong: f64,
}
