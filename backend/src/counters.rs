//! What a backend counts of its own work, for the metrics of a server.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the backend was made. None ever falls.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct BackendCounters {
    /// Pipelines of commands that were sent to the backend's store.
    pub round_trips: Counter,
    /// Connections to the store that were made again after a loss.
    pub reconnects: Counter,
    /// Idle pending entries that a consumer took over.
    pub reclaimed_entries: Counter,
    /// Entries that went to a dead-letter stream.
    pub dead_letter_entries: Counter,
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to the number.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the number.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
