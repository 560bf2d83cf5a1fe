//! Cancelling the wait of a consumer while the hub may read the group for it.
//!
//! Cancelling ends the wait at once, before the next operation of the same frame. But the hub may
//! have sent the `XREADGROUP` already, on its own connection, and a later add on the connection for
//! commands could overtake it: Redis would then deliver the new entry to the consumer that has
//! gone. So a cancel during a delivery closes the [`Barrier`], which holds commands back until
//! Redis has replied. That costs a round trip, half a second at most, and only if a consumer
//! cancels in just that moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::connection::barrier::{Barrier, BarrierGuard};

/// The hub's side. The hub drops it when the consumer's wait is over.
#[derive(Debug)]
pub(crate) struct DeliveryGuard(Arc<Mutex<DeliveryState>>);

/// The caller's side.
#[derive(Debug)]
pub(crate) struct WaitCancelGuard {
    state: Arc<Mutex<DeliveryState>>,
    barrier: Barrier,
}

#[derive(Debug)]
enum DeliveryState {
    Waiting,
    /// The hub reads the group for this consumer. Redis may deliver entries to it.
    Delivering,
    /// No delivery is under way, and none begins any more.
    Cancelled,
    CancelledDuringDelivery {
        _barrier: BarrierGuard,
    },
}

/// Creates both sides for one consumer.
pub(crate) fn guard_pair(barrier: &Barrier) -> (DeliveryGuard, WaitCancelGuard) {
    let state = Arc::new(Mutex::new(DeliveryState::Waiting));
    let cancel_guard = WaitCancelGuard {
        state: Arc::clone(&state),
        barrier: barrier.clone(),
    };
    (DeliveryGuard(state), cancel_guard)
}

impl DeliveryGuard {
    /// Begins a delivery. Returns false if the wait was cancelled: the group may not be read then.
    pub(crate) fn begin_delivery(&self) -> bool {
        let mut state = lock(&self.0);
        let is_waiting = matches!(*state, DeliveryState::Waiting);
        if is_waiting {
            *state = DeliveryState::Delivering;
        }
        is_waiting
    }

    /// Ends a delivery that found no entries. Returns whether the consumer still waits.
    pub(crate) fn end_delivery(&self) -> bool {
        let mut state = lock(&self.0);
        match *state {
            DeliveryState::Waiting | DeliveryState::Delivering => {
                *state = DeliveryState::Waiting;
                true
            }
            DeliveryState::Cancelled | DeliveryState::CancelledDuringDelivery { .. } => false,
        }
    }
}

impl WaitCancelGuard {
    /// Cancels the wait. Commands sent after this returns wait until a delivery that is under way
    /// has ended, unless the barrier times out.
    pub(crate) fn cancel(&self) {
        let mut state = lock(&self.state);
        *state = match *state {
            DeliveryState::Delivering => DeliveryState::CancelledDuringDelivery {
                _barrier: self.barrier.close(),
            },
            _ => DeliveryState::Cancelled,
        };
    }
}

impl Drop for DeliveryGuard {
    fn drop(&mut self) {
        *lock(&self.0) = DeliveryState::Cancelled;
    }
}

fn lock(state: &Mutex<DeliveryState>) -> MutexGuard<'_, DeliveryState> {
    // Nothing that can panic happens under the lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::barrier::tests::is_open;

    #[tokio::test]
    async fn after_a_cancel_no_delivery_begins_and_the_barrier_is_open() {
        let barrier = Barrier::default();
        let (delivery, cancel_guard) = guard_pair(&barrier);
        assert!(delivery.begin_delivery());
        assert!(delivery.end_delivery());
        cancel_guard.cancel();
        assert!(!delivery.begin_delivery());
        assert!(is_open(&barrier));
    }

    #[tokio::test]
    async fn a_cancel_during_a_delivery_closes_the_barrier_until_that_ends() {
        let barrier = Barrier::default();
        let (delivery, cancel_guard) = guard_pair(&barrier);
        assert!(delivery.begin_delivery());
        cancel_guard.cancel();
        assert!(!is_open(&barrier));
        assert!(!delivery.end_delivery());
        drop(delivery);
        assert!(is_open(&barrier));
    }

    #[tokio::test]
    async fn a_cancel_after_the_reply_leaves_the_barrier_open() {
        let barrier = Barrier::default();
        let (delivery, cancel_guard) = guard_pair(&barrier);
        assert!(delivery.begin_delivery());
        drop(delivery);
        cancel_guard.cancel();
        assert!(is_open(&barrier));
    }
}
