//! Lets large requests of all sockets take turns. Redis answers in order, so small requests would wait
//! behind large ones.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of large batches that the backend performs at once: Redis moves them in a millisecond, and
/// so keeps busy for a round trip of that time. A larger batch goes alone.
const MAX_BYTES: usize = 1024 * 1024;

/// A batch that moves fewer bytes is not large, and never waits.
const LARGE_BYTES: usize = 64 * 1024;

/// The turns of large requests, first come, first served.
pub(crate) struct LargeRequests(Arc<Semaphore>);

impl LargeRequests {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BYTES)))
    }

    /// Returns whether a batch that moves this number of bytes has to wait for its turn.
    pub(crate) const fn are_large(bytes: usize) -> bool {
        bytes >= LARGE_BYTES
    }

    /// Waits for the turn of a batch. Returns a permit to be held until the backend has answered it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives its place up.
    pub(crate) async fn permit(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(MAX_BYTES)).ok()?;
        // Nobody closes the semaphore.
        Arc::clone(&self.0).acquire_many_owned(bytes).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn large_requests_take_turns() {
        let requests = LargeRequests::new();
        let permit = |bytes| requests.permit(bytes).now_or_never();
        let first = permit(MAX_BYTES - LARGE_BYTES).flatten().unwrap();
        let second = permit(LARGE_BYTES).flatten().unwrap();
        assert!(permit(LARGE_BYTES).is_none(), "it waits");
        drop((first, second));
        let alone = permit(100 * MAX_BYTES).flatten().unwrap();
        assert!(permit(LARGE_BYTES).is_none(), "it waits");
        drop(alone);
        assert!(permit(LARGE_BYTES).flatten().is_some());
    }
}
