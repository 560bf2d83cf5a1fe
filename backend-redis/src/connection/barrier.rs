//! Holds commands back while Redis may still hand entries to a consumer that left.
//!
//! Cancelling drops a wait at once, before the next operation of the same frame is performed:
//! otherwise an entry could still be handed to a consumer that is gone. The hub may already have
//! sent a group read for that consumer on its own connection, which a later add would overtake:
//! the entry would go to the consumer all the same. So while such a group read is unanswered, the
//! connection for commands sends nothing. That takes one round trip, half a second at most, and
//! happens only where a consumer left in just that moment.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Longest time for which commands are held back, however late the answer is and however many
/// consumers leave. A Redis that is merely busy has answered by then. After it, an added entry may
/// be handed to the consumer that left; it is pending then, like an entry that was handed to the
/// consumer a moment before it left.
const LONGEST: Duration = Duration::from_millis(500);

/// Closed as long as anybody holds a guard. Clones share everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Barrier(Arc<BarrierState>);

#[derive(Debug, Default)]
struct BarrierState {
    guards: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

/// Keeps the barrier closed until it is dropped.
#[derive(Debug)]
pub(crate) struct BarrierGuard(Barrier);

/// How long a sender has been waiting at the barrier.
#[derive(Debug, Default)]
pub(super) struct BarrierTimeout {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Barrier {
    /// Closes the barrier: it holds back whatever is sent after this returns.
    pub(crate) fn close(&self) -> BarrierGuard {
        self.0.guards.fetch_add(1, Ordering::AcqRel);
        BarrierGuard(self.clone())
    }

    /// Is ready while the barrier is open, or once it has been closed for too long.
    pub(super) fn poll_open(&self, timeout: &mut BarrierTimeout, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_open() {
            timeout.timer = None;
            return Poll::Ready(());
        }
        // An elapsed timer stays until the barrier opens: further guards do not start it anew.
        let timer = timeout
            .timer
            .get_or_insert_with(|| Box::pin(sleep(LONGEST)));
        if timer.is_elapsed() || timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut waiting = self
            .0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        drop(waiting);
        // A guard that was dropped since the first check may have found nobody to wake.
        if self.is_open() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn is_open(&self) -> bool {
        self.0.guards.load(Ordering::Acquire) == 0
    }
}

impl Drop for BarrierGuard {
    fn drop(&mut self) {
        let state = &self.0.0;
        if state.guards.fetch_sub(1, Ordering::AcqRel) == 1 {
            let waiting = state.waiting.lock();
            let waiting = std::mem::take(&mut *waiting.unwrap_or_else(PoisonError::into_inner));
            waiting.into_iter().for_each(Waker::wake);
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
        let mut timeout = BarrierTimeout::default();
        let open = poll_fn(|cx| barrier.poll_open(&mut timeout, cx));
        open.now_or_never().is_some()
    }

    #[tokio::test]
    async fn it_opens_when_the_last_guard_is_dropped() {
        let barrier = Barrier::default();
        assert!(is_open(&barrier));
        let (first, second) = (barrier.close(), barrier.close());
        assert!(!is_open(&barrier));
        let dropped = async {
            drop(first);
            assert!(!is_open(&barrier));
            drop(second);
        };
        let mut timeout = BarrierTimeout::default();
        let open = poll_fn(|cx| barrier.poll_open(&mut timeout, cx));
        futures_util::future::join(open, dropped).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_holds_nothing_back_for_longer_than_its_limit() {
        let barrier = Barrier::default();
        let mut timeout = BarrierTimeout::default();
        for _ in 0..2 {
            let start = Instant::now();
            let first = barrier.close();
            poll_fn(|cx| barrier.poll_open(&mut timeout, cx)).await;
            assert!(start.elapsed() >= LONGEST && start.elapsed() < 2 * LONGEST);
            // Another guard does not start the limit anew.
            let second = barrier.close();
            drop(first);
            poll_fn(|cx| barrier.poll_open(&mut timeout, cx)).await;
            assert!(start.elapsed() < 2 * LONGEST);
            drop(second);
            poll_fn(|cx| barrier.poll_open(&mut timeout, cx)).await;
        }
    }
}
