//! Whether a consumer that waits in line is still there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::connection::barrier::{Barrier, BarrierGuard};

/// The hub's side: dropped once the consumer's wait is over.
#[derive(Debug)]
pub(crate) struct DeliveryGuard(Arc<Mutex<Stage>>);

/// The side of the one who waits.
#[derive(Debug)]
pub(crate) struct WaitCancelGuard {
    stage: Arc<Mutex<Stage>>,
    hold: Barrier,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    /// The group is read for it: what Redis gives is its own.
    Tried,
    /// Nothing was asked for it, and nothing will be.
    Gone,
    /// It left while it was tried for.
    GoneWhileTried {
        _holder: BarrierGuard,
    },
}

/// Both sides of one consumer.
pub(crate) fn guard_pair(hold: &Barrier) -> (DeliveryGuard, WaitCancelGuard) {
    let stage = Arc::new(Mutex::new(Stage::Waiting));
    let cancel_guard = WaitCancelGuard {
        stage: Arc::clone(&stage),
        hold: hold.clone(),
    };
    (DeliveryGuard(stage), cancel_guard)
}

impl DeliveryGuard {
    /// Whether the group may be read for it: not once it has gone.
    pub(crate) fn begin_delivery(&self) -> bool {
        let mut stage = lock(&self.0);
        let there = matches!(*stage, Stage::Waiting);
        if there {
            *stage = Stage::Tried;
        }
        there
    }

    /// There was nothing for it. Whether it goes on waiting.
    pub(crate) fn end_delivery(&self) -> bool {
        let mut stage = lock(&self.0);
        match *stage {
            Stage::Waiting | Stage::Tried => {
                *stage = Stage::Waiting;
                true
            }
            Stage::Gone | Stage::GoneWhileTried { .. } => false,
        }
    }
}

impl WaitCancelGuard {
    /// Nobody waits any more. What is sent to Redis after this returns waits until nothing can be
    /// handed to this consumer any more, as far as it waits for that.
    pub(crate) fn leave(&self) {
        let mut stage = lock(&self.stage);
        *stage = match *stage {
            Stage::Tried => Stage::GoneWhileTried {
                _holder: self.hold.close(),
            },
            _ => Stage::Gone,
        };
    }
}

impl Drop for DeliveryGuard {
    fn drop(&mut self) {
        *lock(&self.0) = Stage::Gone;
    }
}

fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    // Nothing that can panic happens under the lock.
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::barrier::tests::is_open;

    #[tokio::test]
    async fn one_that_left_is_not_tried_for_and_holds_nothing() {
        let hold = Barrier::default();
        let (delivery, cancel_guard) = guard_pair(&hold);
        assert!(delivery.begin_delivery());
        assert!(delivery.end_delivery());
        cancel_guard.leave();
        assert!(!delivery.begin_delivery());
        assert!(is_open(&hold));
    }

    #[tokio::test]
    async fn one_that_leaves_while_it_is_tried_for_holds_until_that_is_over() {
        let hold = Barrier::default();
        let (delivery, cancel_guard) = guard_pair(&hold);
        assert!(delivery.begin_delivery());
        cancel_guard.leave();
        assert!(!is_open(&hold));
        assert!(!delivery.end_delivery());
        drop(delivery);
        assert!(is_open(&hold));
    }

    #[tokio::test]
    async fn one_that_leaves_after_its_answer_holds_nothing() {
        let hold = Barrier::default();
        let (delivery, cancel_guard) = guard_pair(&hold);
        assert!(delivery.begin_delivery());
        drop(delivery);
        cancel_guard.leave();
        assert!(is_open(&hold));
    }
}
