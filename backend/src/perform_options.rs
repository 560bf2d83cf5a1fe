//! How a backend performs operations.

use std::sync::Arc;

use streamgate_protocol::limits::MAX_REPLY_BYTES;
use tokio::sync::OwnedSemaphorePermit;

use crate::cancellation::Cancellation;

/// Most consumers of a group that a reply lists: a backend answers `LIMIT` if there are more. It
/// lists them in one step, in a few milliseconds.
pub const MAX_LISTED_CONSUMERS: usize = 10_000;

/// How [`Backend::perform`](crate::Backend::perform) performs operations.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PerformOptions {
    /// The largest reply that the client can be sent, in bytes. A backend need not load what is
    /// beyond it: the server would cut the reply, or refuse it with `LIMIT`.
    pub max_reply_bytes: usize,
    /// Of operations that may wait, by their places in the list. A cancelled one must take nothing
    /// that is added after the cancel.
    pub cancellations: Vec<(usize, Cancellation)>,
    /// Present for operations that move many bytes: few of them are under way at once. A backend
    /// drops it when the bytes were moved, whether or not anybody polls the operations.
    pub permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl PerformOptions {
    /// Returns options with so many bytes, and without cancellations.
    pub const fn new(max_reply_bytes: usize) -> Self {
        Self {
            max_reply_bytes,
            cancellations: Vec::new(),
            permit: None,
        }
    }

    /// Sets [`cancellations`](Self::cancellations).
    #[must_use]
    pub fn cancellations(mut self, cancellations: Vec<(usize, Cancellation)>) -> Self {
        self.cancellations = cancellations;
        self
    }

    /// Sets [`permit`](Self::permit).
    #[must_use]
    pub fn permit(mut self, permit: Option<OwnedSemaphorePermit>) -> Self {
        self.permit = permit.map(Arc::new);
        self
    }
}

impl Default for PerformOptions {
    /// Returns the limits of the protocol: [`MAX_REPLY_BYTES`].
    fn default() -> Self {
        Self::new(MAX_REPLY_BYTES)
    }
}
