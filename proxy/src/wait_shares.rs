//! How many waits and subscriptions each socket may have.
//!
//! Together they are bounded, because a backend bounds them. A socket may have an eighth of the
//! bound at most, and fewer the less is free. The last quarter is for those that have few: so even
//! if a hundred sockets take all they can, others have some.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Waits and subscriptions of all sockets together: as many as a backend takes by default.
const MAX_WAITS: usize = 131_072;

/// Waits that only sockets with at most [`FEW_WAITS`] may take.
const RESERVED_WAITS: usize = MAX_WAITS / 4;

/// Waits that a socket may take of those that are reserved.
const FEW_WAITS: usize = 256;

/// A socket may have as many waits as this part of those that are free and not reserved.
const FREE_PART: usize = 5;

/// The waits and subscriptions of all sockets. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct WaitShares(Arc<AtomicUsize>);

/// The waits and subscriptions of one socket.
pub(crate) struct WaitShare {
    all: WaitShares,
    own: usize,
}

impl WaitShares {
    pub(crate) fn share(&self) -> WaitShare {
        WaitShare {
            all: self.clone(),
            own: 0,
        }
    }
}

impl WaitShare {
    /// Counts one more, unless the socket has its share already.
    pub(crate) fn try_add(&mut self) -> bool {
        let free = MAX_WAITS.saturating_sub(self.all.0.load(Ordering::Relaxed));
        let share = free.saturating_sub(RESERVED_WAITS) / FREE_PART;
        if self.own >= share.max(FEW_WAITS.min(free)) {
            return false;
        }
        self.own += 1;
        self.all.0.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Counts one fewer.
    pub(crate) fn remove(&mut self) {
        self.own -= 1;
        self.all.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns how many this socket has.
    pub(crate) fn len(&self) -> usize {
        self.own
    }
}

impl Drop for WaitShare {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.own, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(share: &mut WaitShare) -> usize {
        while share.try_add() {}
        share.len()
    }

    #[test]
    fn one_socket_may_have_an_eighth() {
        let all = WaitShares::default();
        assert_eq!(take_all(&mut all.share()), MAX_WAITS / 8);
        assert_eq!(take_all(&mut all.share()), MAX_WAITS / 8, "all came back");
    }

    #[test]
    fn however_many_take_all_they_can_another_has_some() {
        let all = WaitShares::default();
        let mut greedy: Vec<_> = (0..100).map(|_| all.share()).collect();
        // In any order, and again and again.
        for _ in 0..3 {
            for share in &mut greedy {
                take_all(share);
            }
        }
        let mut another = all.share();
        assert!(take_all(&mut another) >= FEW_WAITS, "{}", another.len());
        greedy.truncate(50);
        let held: usize = greedy.iter().map(WaitShare::len).sum();
        assert_eq!(all.0.load(Ordering::Relaxed), held + another.len());
        another.remove();
        assert!(another.try_add());
    }
}
