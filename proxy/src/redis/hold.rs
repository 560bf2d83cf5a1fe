//! Holds commands back while Redis may still hand entries to one who has gone.
//!
//! The hub reads groups on a connection of its own, so what it sent for a consumer can be overtaken
//! by a command that is sent later: an entry that is added once a consumer has gone would be handed
//! to it all the same. What is sent after it left waits for that answer, one round trip at most.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Whether what is sent from now on has to wait. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Hold(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    holders: AtomicUsize,
    held: Mutex<Vec<Waker>>,
}

/// Holds back until it is dropped.
#[derive(Debug)]
pub(super) struct Holder(Hold);

impl Hold {
    /// Whatever is sent after this returns is held back.
    pub(super) fn acquire(&self) -> Holder {
        self.0.holders.fetch_add(1, Ordering::AcqRel);
        Holder(self.clone())
    }

    /// Ready while nothing is held back.
    pub(super) fn poll_free(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_free() {
            return Poll::Ready(());
        }
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.iter().any(|waker| waker.will_wake(cx.waker())) {
            held.push(cx.waker().clone());
        }
        drop(held);
        // Whoever let go since the first look may have found nobody to wake.
        if self.is_free() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn is_free(&self) -> bool {
        self.0.holders.load(Ordering::Acquire) == 0
    }
}

impl Drop for Holder {
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
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn it_is_free_when_the_last_holder_is_gone() {
        let hold = Hold::default();
        let free = || poll_fn(|cx| hold.poll_free(cx));
        assert!(free().now_or_never().is_some());
        let (first, second) = (hold.acquire(), hold.acquire());
        assert!(free().now_or_never().is_none());
        let freed = async {
            drop(first);
            assert!(free().now_or_never().is_none());
            drop(second);
        };
        futures_util::future::join(free(), freed).await;
    }
}
