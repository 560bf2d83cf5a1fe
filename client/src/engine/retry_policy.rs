//! What becomes of a request whose reply was lost.

use streamgate_protocol::Operation;
use streamgate_protocol::message::Subscription;

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
    /// Returns the policy of an operation. `is_idempotent_add` says that an add has a number by
    /// which the server recognizes it.
    pub(super) fn of_operation(operation: &Operation<'_>, is_idempotent_add: bool) -> Self {
        match operation {
            Operation::ReadGroup { .. } => Self::RecoverThenResend,
            Operation::Ack { .. } => Self::Resend,
            _ if is_idempotent_add || operation.is_read_only() => Self::Resend,
            _ => Self::Fail,
        }
    }

    pub(super) const fn of_subscription(subscription: &Subscription<'_>) -> Self {
        match subscription {
            Subscription::Tail { .. } => Self::Resend,
            Subscription::Consume { .. } => Self::RecoverThenResend,
            _ => Self::Fail,
        }
    }
}
