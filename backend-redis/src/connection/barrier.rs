//! Holds commands back while Redis may still hand entries to one who has gone.
//!
//! The hub reads groups on a connection of its own, so what it sent for a consumer can be overtaken
//! by a command that is sent later: an entry that is added once a consumer has gone would be handed
//! to it all the same. What is sent after it left waits for that answer: a round trip, and never
//! longer than [`LONGEST`], however late the answer is and however many leave.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Longest time that anything is held back: a busy Redis has answered by then, and nobody's commands
/// may stand still for one consumer that left. What is added behind it may be handed to that one;
/// it is pending then, as what was handed to it a moment before it left.
const LONGEST: Duration = Duration::from_millis(500);

/// Whether what is sent from now on has to wait. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Barrier(Arc<BarrierState>);

#[derive(Debug, Default)]
struct BarrierState {
    holders: AtomicUsize,
    held: Mutex<Vec<Waker>>,
}

/// Holds back until it is dropped.
#[derive(Debug)]
pub(crate) struct BarrierGuard(Barrier);

/// The patience of one who sends.
#[derive(Debug, Default)]
pub(crate) struct BarrierTimeout {
    /// Since it is held back.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Barrier {
    /// Whatever is sent after this returns is held back.
    pub(crate) fn close(&self) -> BarrierGuard {
        self.0.holders.fetch_add(1, Ordering::AcqRel);
        BarrierGuard(self.clone())
    }

    /// Ready while nothing is held back, or when that has lasted for too long.
    pub(crate) fn poll_open(
        &self,
        patience: &mut BarrierTimeout,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.is_open() {
            patience.timer = None;
            return Poll::Ready(());
        }
        // Over for as long as anybody holds back.
        let timer = patience
            .timer
            .get_or_insert_with(|| Box::pin(sleep(LONGEST)));
        if timer.is_elapsed() || timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.iter().any(|waker| waker.will_wake(cx.waker())) {
            held.push(cx.waker().clone());
        }
        drop(held);
        // Whoever let go since the first look may have found nobody to wake.
        if self.is_open() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn is_open(&self) -> bool {
        self.0.holders.load(Ordering::Acquire) == 0
    }
}

impl Drop for BarrierGuard {
    fn drop(&mut self) {
        let shared = &self.0.0;
        if shared.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            let held = shared.held.lock();
            let held = std::mem::take(&mut *held.unwrap_or_else(PoisonError::into_inner));
            held.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    pub(crate) fn is_open(barrier: &Barrier) -> bool {
        let mut patience = BarrierTimeout::default();
        let open = poll_fn(|cx| barrier.poll_open(&mut patience, cx));
        open.now_or_never().is_some()
    }

    #[tokio::test]
    async fn it_is_open_when_the_last_holder_is_gone() {
        let barrier = Barrier::default();
        assert!(is_open(&barrier));
        let (first, second) = (barrier.close(), barrier.close());
        assert!(!is_open(&barrier));
        let freed = async {
            drop(first);
            assert!(!is_open(&barrier));
            drop(second);
        };
        let mut patience = BarrierTimeout::default();
        let open = poll_fn(|cx| barrier.poll_open(&mut patience, cx));
        futures_util::future::join(open, freed).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_lasts_for_so_long_and_no_longer() {
        let barrier = Barrier::default();
        let mut patience = BarrierTimeout::default();
        for _ in 0..2 {
            let start = Instant::now();
            let first = barrier.close();
            poll_fn(|cx| barrier.poll_open(&mut patience, cx)).await;
            assert!(start.elapsed() >= LONGEST && start.elapsed() < 2 * LONGEST);
            // Whoever leaves now does not begin it anew.
            let second = barrier.close();
            drop(first);
            poll_fn(|cx| barrier.poll_open(&mut patience, cx)).await;
            assert!(start.elapsed() < 2 * LONGEST);
            drop(second);
            poll_fn(|cx| barrier.poll_open(&mut patience, cx)).await;
        }
    }
}
