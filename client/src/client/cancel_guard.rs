//! What a call or a subscription holds while it lasts.

use std::ops::Deref;
use std::sync::atomic::Ordering;

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};

use super::DriverHandle;
use crate::driver::Command;

/// Calls and subscriptions of one client that may be under way at once, over all its handles; it
/// bounds the channel to the driver. One is refused with `OVERLOADED` beyond it, rather than made
/// to wait: waiting callers would not keep the order in which they came.
pub(super) const MAX_CALLS: usize = 128 * 1024;

/// A place among the [`MAX_CALLS`]. Calls lend what subscriptions share.
pub(super) struct Slot<S: Deref<Target = DriverHandle>>(S);

impl<S: Deref<Target = DriverHandle>> Slot<S> {
    pub(super) fn take(shared: S) -> CacheResult<Self> {
        let before = shared.calls.fetch_add(1, Ordering::Relaxed);
        let slot = Self(shared);
        if before < MAX_CALLS {
            Ok(slot)
        } else {
            Err(CacheError::backend(
                code::OVERLOADED,
                "too many calls are under way",
            ))
        }
    }
}

impl<S: Deref<Target = DriverHandle>> Drop for Slot<S> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends a call or a subscription at the server when its future or its stream is dropped.
pub(super) struct CancelGuard<S: Deref<Target = DriverHandle>> {
    shared: S,
    id: u64,
    armed: bool,
}

impl<S: Deref<Target = DriverHandle>> CancelGuard<S> {
    pub(super) const fn new(shared: S, id: u64) -> Self {
        Self {
            shared,
            id,
            armed: true,
        }
    }

    /// It is over already.
    pub(super) const fn disarm(&mut self) {
        self.armed = false;
    }
}

impl<S: Deref<Target = DriverHandle>> Drop for CancelGuard<S> {
    fn drop(&mut self) {
        if self.armed {
            // Without a driver there is nothing left to end.
            let _ = self.shared.send(Command::Cancel { id: self.id });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::engine::ConnectionState;

    #[test]
    fn calls_beyond_the_bound_are_refused_until_one_is_over() {
        let (commands, _commands) = mpsc::unbounded_channel();
        let (_state, state) = watch::channel(ConnectionState::Open);
        let shared = Arc::new(DriverHandle::new(commands, state));
        let mut slots: Vec<_> = (1..MAX_CALLS)
            .map(|_| Slot::take(&*shared).unwrap())
            .collect();
        let subscription = Slot::take(Arc::clone(&shared)).unwrap();
        let refused = || Slot::take(&*shared).err().unwrap();
        assert_eq!(refused().code(), "OVERLOADED");
        drop(subscription);
        slots.push(Slot::take(&*shared).unwrap());
        assert_eq!(refused().code(), "OVERLOADED");
        slots.clear();
        assert_eq!(shared.calls.load(Ordering::Relaxed), 0);
    }
}
