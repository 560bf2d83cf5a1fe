//! What the server counts, for `/metrics`.
//!
//! Counting costs an atomic addition for a request or a batch, and no allocation: all labels are
//! known ahead, as places in arrays.

mod exporter;
mod histogram;
mod requests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::exporter::render;
pub(crate) use self::requests::{OperationKind, RequestMetrics};

/// The counters of a server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Failures to accept a connection, as when too many files are open.
    pub(crate) accept_errors: Count,
    /// Handshakes that became sockets.
    pub(crate) sockets_opened: Count,
    /// Sockets that clients closed, or whose connection broke.
    pub(crate) sockets_closed_by_client: Count,
    /// Sockets that the server closed in its shutdown.
    pub(crate) sockets_closed_by_shutdown: Count,
    /// Sockets that the server closed for a violation or a time-out.
    pub(crate) sockets_closed_by_server: Count,
    pub(crate) requests: RequestMetrics,
    /// Requests in flight, waits and subscriptions included.
    pub(crate) in_flight: Count,
    /// Requests that wait for an entry.
    pub(crate) waits: Count,
    pub(crate) subscriptions: Count,
    /// Pauses in reading a socket that was over its own rates.
    pub(crate) pauses_of_sockets: Count,
    /// Pauses in reading a socket whose subject was over its rates.
    pub(crate) pauses_of_subjects: Count,
    /// Payload of the frames that arrived.
    pub(crate) bytes_received: Count,
    /// Payload of the frames that were sent.
    pub(crate) bytes_sent: Count,
    /// Entries that subscriptions pushed.
    pub(crate) pushed_entries: Count,
    /// Gaps that tails reported.
    pub(crate) gaps: Count,
    /// Entries too large for their reader.
    pub(crate) skipped_entries: Count,
}

/// A number that only grows, or one that follows what exists.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}
