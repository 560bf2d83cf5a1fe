//! Which request of a socket a result belongs to.

use std::time::Instant;

use crate::metrics::OperationKind;

/// Identifies an admitted request.
///
/// When the request is done, another request may have its id: the serial number is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestTicket {
    pub(super) id: u64,
    pub(super) serial: u64,
    /// The backend delivers entries to a consumer, which stay pending if they are not sent.
    pub(super) is_delivery: bool,
    /// Bytes of the request and of its expected reply, while the backend performs it.
    pub(super) bytes: usize,
    /// Bytes that the backend moves for it before it comes to others, as far as it knows.
    pub(super) moved_bytes: usize,
    pub(super) operation: OperationKind,
    /// When the request was decoded; `None` once it waits for an entry.
    pub(super) started: Option<Instant>,
    /// Bytes that are reserved for it in the memory budget meanwhile.
    pub(super) reserved: usize,
}
