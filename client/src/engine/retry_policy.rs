//! What becomes of a request whose reply was lost.

use super::encoded_request::{CONSUME, EncodedRequest, READ_GROUP, RequestKind, number};

/// What to do with a request that was sent and whose reply will not come: the connection was lost,
/// or the server lost its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryPolicy {
    /// Send it again: performing it twice does no harm.
    Resend,
    /// First find the entries that the lost reply delivered, then send it again.
    RecoverThenResend,
    /// Fail with `UNKNOWN_OUTCOME`: performing it twice could change the outcome.
    Fail,
}

impl RetryPolicy {
    /// Returns the policy of a request. `is_idempotent_add` says that an add has a number by which
    /// the server recognizes it.
    pub(super) fn of_request(request: &EncodedRequest, is_idempotent_add: bool) -> Self {
        match request.kind() {
            READ_GROUP | CONSUME => Self::RecoverThenResend,
            RequestKind::Operation(number::ACK) => Self::Resend,
            _ if is_idempotent_add || request.is_read_only() => Self::Resend,
            _ => Self::Fail,
        }
    }
}
