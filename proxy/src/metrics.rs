//! What the server counts.

use std::sync::atomic::AtomicU64;

/// The counters of a server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Failures to accept a connection, as when too many files are open.
    pub(crate) accept_errors: AtomicU64,
}
