//! What the subscriptions of one socket make the backend load, and what of it is held here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes of entries that the consumers of one socket may hold because there was no credit for
/// them. Above it they read one entry at a time, of which nothing is held.
const MAX_HELD_BYTES: u64 = 16 * 1024 * 1024;

/// The sums over all subscriptions of a socket.
#[derive(Clone, Default)]
pub(super) struct Load(Arc<Sums>);

#[derive(Default)]
struct Sums {
    asking: AtomicUsize,
    held_bytes: AtomicU64,
}

/// One answer of the backend that is on its way.
pub(super) struct Asking(Load);

/// Bytes that are held.
pub(super) struct Held(Load, u64);

impl Load {
    /// Counts an answer until the guard is dropped.
    pub(super) fn ask(&self) -> Asking {
        self.0.asking.fetch_add(1, Ordering::Relaxed);
        Asking(self.clone())
    }

    /// Counts bytes until the guard is dropped.
    pub(super) fn hold(&self, bytes: u64) -> Held {
        self.0.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        Held(self.clone(), bytes)
    }

    /// Answers that are on their way.
    pub(super) fn asking(&self) -> usize {
        self.0.asking.load(Ordering::Relaxed)
    }

    /// Whether as much is held as may be.
    pub(super) fn is_full(&self) -> bool {
        self.0.held_bytes.load(Ordering::Relaxed) >= MAX_HELD_BYTES
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.0.asking.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.held_bytes.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_does_not_count() {
        let load = Load::default();
        let (first, second) = (load.ask(), load.ask());
        assert_eq!(load.asking(), 2);
        drop(first);
        assert_eq!(load.asking(), 1);
        drop(second);
        let half = load.hold(MAX_HELD_BYTES / 2);
        assert!(!load.is_full());
        let rest = load.hold(MAX_HELD_BYTES / 2);
        assert!(load.is_full());
        drop((half, rest));
        assert!(!load.is_full());
        assert_eq!(load.asking(), 0);
    }
}
