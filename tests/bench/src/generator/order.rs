//! What a generator is told to do, and what it says then.

use serde::{Deserialize, Serialize};

/// Times are seconds, rates are per second.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Keep adding entries, on as many connections, with as many in flight on each.
    Add {
        connections: usize,
        depth: usize,
        seconds: f64,
    },
    /// Keep reading 100 entries from somewhere in a stream.
    Read {
        connections: usize,
        depth: usize,
        seconds: f64,
    },
    /// Open as many tails of a new stream, each on a connection of its own, and see the first entry
    /// arrive at all of them. Those of earlier orders stay open.
    Tail { tails: usize },
    /// Add entries to the stream of the last tails, and await their arrival.
    Publish { rate: f64, seconds: f64 },
    /// Begin as many waits, each on a stream of its own, shared out to the connections.
    Wait { waits: usize, connections: usize },
    /// Add to one waiting stream after the other, and await the wake.
    Wake { times: usize, rate: f64 },
    /// Begin as many consumers of one group, shared out to the connections.
    Consume {
        consumers: usize,
        connections: usize,
        how: Taking,
    },
    /// Add entries to the stream of the group, and await their arrival.
    Distribute { rate: f64, seconds: f64 },
}

/// How a consumer takes a group's entries, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Taking {
    /// They are pushed to it.
    Pushed,
    /// It waits for each with a read.
    Read,
}

/// What came of an order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Adds, reads, deliveries or wakes.
    pub(crate) operations: f64,
    /// Entries that were added for others to receive.
    pub(crate) entries: f64,
    pub(crate) seconds: f64,
    /// Where a rate was asked for, the part of it that was reached.
    pub(crate) pace: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Deliveries that did not come.
    pub(crate) lost: f64,
    /// Deliveries that came twice, or before an older one.
    pub(crate) wrong: f64,
}
