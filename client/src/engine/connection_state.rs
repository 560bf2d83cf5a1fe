//! The state of a connection, as the owner of a client sees it.

/// The state of a client's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// No attempt to connect has succeeded yet.
    Connecting,
    /// Requests are sent as they are made.
    Open,
    /// Connected, but the server's backend is unavailable. Most requests fail at once and can be
    /// made again later. Waits and subscriptions continue once the backend returns. The state is
    /// [`Open`](Self::Open) after the backend has been available for a second.
    Degraded {
        /// The error code that says why, such as `DISCONNECTED` or `LOADING`.
        code: String,
        /// The error message, for people.
        message: String,
    },
    /// The connection was lost. Requests wait until there is a new one.
    Reconnecting {
        /// The close code of the lost connection, or the HTTP status of a server that refused the
        /// last attempt; 1006 without either.
        code: u16,
        /// The reason that came with the code.
        reason: String,
    },
    /// The client has stopped: its owner closed it, or another attempt would fail the same way.
    Closed {
        /// The close code, or the HTTP status of a server that refused the connection.
        code: u16,
        /// The reason that came with the code.
        reason: String,
    },
}

impl ConnectionState {
    /// Returns the state as one word, as JavaScript sees it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Degraded { .. } => "degraded",
            Self::Reconnecting { .. } => "reconnecting",
            Self::Closed { .. } => "closed",
        }
    }
}
