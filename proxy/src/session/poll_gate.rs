//! Polling a source only after its own waker was called.
//!
//! A session is woken for many reasons. To poll a source that has nothing may cost as much as
//! everything else that a session does for a push. So the socket and the rare control events each
//! have a waker of their own, and are polled only after it was called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Passes a poll on to a source if the source has called its waker since the last poll.
pub(super) struct PollGate {
    state: Arc<GateState>,
    /// Opens the gate and wakes the session.
    waker: Waker,
}

struct GateState {
    is_open: AtomicBool,
    session: AtomicWaker,
}

impl PollGate {
    /// Creates an open gate: the first poll passes.
    pub(super) fn new() -> Self {
        let state = Arc::new(GateState {
            is_open: AtomicBool::new(true),
            session: AtomicWaker::new(),
        });
        Self {
            waker: Waker::from(Arc::clone(&state)),
            state,
        }
    }

    /// Polls the source if the gate is open, or if `force` is set, and closes the gate.
    ///
    /// The source must call only the waker of the context that it is polled with. If it was ready,
    /// the caller has to force the next poll.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        force: bool,
        poll_source: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Before the gate is read, so that a call in between wakes the session.
        self.state.session.register(cx.waker());
        if !self.state.is_open.swap(false, Ordering::AcqRel) && !force {
            return Poll::Pending;
        }
        poll_source(&mut Context::from_waker(&self.waker))
    }
}

impl Wake for GateState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_open.store(true, Ordering::Release);
        self.session.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_idle_source_is_polled_after_its_waker_was_called_or_by_force() {
        let (sender, receiver) = oneshot::channel();
        let (gate, mut source, mut polls) = (PollGate::new(), pin!(receiver), 0);
        for (force, expected) in [(false, 1), (false, 1), (true, 2), (false, 2)] {
            let poll = poll_fn(|cx| {
                gate.poll(cx, force, |cx| {
                    polls += 1;
                    source.as_mut().poll(cx)
                })
            });
            assert!(poll.now_or_never().is_none());
            assert_eq!(polls, expected);
        }
        let poll = poll_fn(|cx| gate.poll(cx, false, |cx| source.as_mut().poll(cx)));
        let (received, ()) = tokio::join!(poll, async { sender.send(7).unwrap() });
        assert_eq!(received, Ok(7));
    }
}
