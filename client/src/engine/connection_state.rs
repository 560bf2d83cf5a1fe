//! What an owner sees of the connection.

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// The first attempt is under way.
    Connecting,
    /// Calls are sent as they come.
    Open,
    /// The same, but the server's backend is away: most calls fail at once and may be made again
    /// later, what waits goes on waiting, and subscriptions go on when it is back. Then the state is
    /// [`Open`](Self::Open) again.
    Degraded {
        /// Why, in the word of errors: `DISCONNECTED`, `LOADING`.
        code: String,
        /// The same for people.
        message: String,
    },
    /// The connection was lost; calls wait until there is a new one.
    Reconnecting {
        /// The close code of the lost connection; 1006 where there was none.
        code: u16,
        /// The reason beside it.
        reason: String,
    },
    /// It is over: closed by its owner, or for a reason that would come back.
    Closed {
        /// The close code.
        code: u16,
        /// The reason beside it.
        reason: String,
    },
}

impl ConnectionState {
    /// One word, as JavaScript sees it.
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
