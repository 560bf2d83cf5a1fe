//! Where an engine is in the life of its connections.

use super::time::Millis;

/// One phase at a time; each has the deadline that ends it, except an open connection's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionPhase {
    /// A socket is being opened.
    Connecting { give_up_at: Millis },
    /// The socket is open.
    Open { since: Millis },
    /// The backoff's pause before the next attempt.
    Pausing { until: Millis },
    /// The owner, or a protocol violation, closed the socket. The engine waits for the end.
    Closing { give_up_at: Millis },
    /// Over: no further attempt follows.
    Closed,
}
