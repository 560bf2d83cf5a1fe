//! How much the subscriptions of one socket make the backend load, and how much they buffer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::session::limits::MAX_BUFFERED_BYTES;

/// The sums over all subscriptions of a socket. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Backpressure(Arc<PressureSums>);

#[derive(Default)]
struct PressureSums {
    pending_replies: AtomicUsize,
    buffered_bytes: AtomicU64,
}

/// Counts one reply that the backend owes, until it is dropped.
pub(super) struct PendingReplyGuard(Backpressure);

/// Counts buffered bytes until it is dropped.
pub(super) struct BufferedBytesGuard(Backpressure, u64);

impl Backpressure {
    pub(super) fn expect_reply(&self) -> PendingReplyGuard {
        self.0.pending_replies.fetch_add(1, Ordering::Relaxed);
        PendingReplyGuard(self.clone())
    }

    pub(super) fn buffer(&self, bytes: u64) -> BufferedBytesGuard {
        self.0.buffered_bytes.fetch_add(bytes, Ordering::Relaxed);
        BufferedBytesGuard(self.clone(), bytes)
    }

    /// Returns how many replies the backend owes.
    pub(super) fn pending_replies(&self) -> usize {
        self.0.pending_replies.load(Ordering::Relaxed)
    }

    /// Returns the bytes that the subscriptions buffer.
    pub(super) fn buffered_bytes(&self) -> u64 {
        self.0.buffered_bytes.load(Ordering::Relaxed)
    }

    /// Returns whether the subscriptions buffer [`MAX_BUFFERED_BYTES`] or more.
    pub(super) fn is_buffer_full(&self) -> bool {
        self.0.buffered_bytes.load(Ordering::Relaxed) >= MAX_BUFFERED_BYTES
    }
}

impl Drop for PendingReplyGuard {
    fn drop(&mut self) {
        self.0.0.pending_replies.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for BufferedBytesGuard {
    fn drop(&mut self) {
        self.0.0.buffered_bytes.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_guard_does_not_count() {
        let backpressure = Backpressure::default();
        let (first, second) = (backpressure.expect_reply(), backpressure.expect_reply());
        assert_eq!(backpressure.pending_replies(), 2);
        drop(first);
        assert_eq!(backpressure.pending_replies(), 1);
        drop(second);
        let half = backpressure.buffer(MAX_BUFFERED_BYTES / 2);
        assert!(!backpressure.is_buffer_full());
        let other_half = backpressure.buffer(MAX_BUFFERED_BYTES / 2);
        assert!(backpressure.is_buffer_full());
        drop((half, other_half));
        assert!(!backpressure.is_buffer_full());
        assert_eq!(backpressure.pending_replies(), 0);
    }
}
