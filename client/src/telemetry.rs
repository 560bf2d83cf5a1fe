//! What a client logs, with the feature `tracing`. Without it, nothing of this is compiled, and the
//! module for browsers does not grow.
//!
//! The native client runs in a span `streamgate_client` with the server's address.

#[cfg(not(feature = "tracing"))]
use disabled as implementation;
#[cfg(feature = "tracing")]
use enabled as implementation;

pub(crate) use implementation::{request_finished, socket_closed, state_changed};

#[cfg(feature = "tracing")]
mod enabled {
    use streamgate_protocol::{CacheResult, Reply};

    use crate::engine::ConnectionState;

    /// Logs the state of the connection.
    pub(crate) fn state_changed(state: &ConnectionState) {
        match state {
            ConnectionState::Connecting | ConnectionState::Open => {
                tracing::info!(state = state.as_str(), "connection state changed");
            }
            ConnectionState::Degraded { code, message } => {
                tracing::warn!(code, message, "the server's backend is unavailable");
            }
            ConnectionState::Reconnecting { code, reason } => {
                tracing::warn!(code, reason, "connection lost; reconnecting");
            }
            ConnectionState::Closed { code, reason } => {
                tracing::info!(code, reason, "connection closed");
            }
        }
    }

    /// Logs that a socket was closed or could not be opened.
    pub(crate) fn socket_closed(code: u16, reason: &str) {
        tracing::debug!(code, reason, "socket closed");
    }

    /// Logs a request or a subscription that failed.
    pub(crate) fn request_finished(id: u64, result: &CacheResult<Reply>) {
        if let Err(error) = result {
            tracing::debug!(id, code = error.code(), %error, "request failed");
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod disabled {
    use streamgate_protocol::{CacheResult, Reply};

    use crate::engine::ConnectionState;

    pub(crate) const fn state_changed(_: &ConnectionState) {}

    pub(crate) const fn socket_closed(_: u16, _: &str) {}

    pub(crate) const fn request_finished(_: u64, _: &CacheResult<Reply>) {}
}
