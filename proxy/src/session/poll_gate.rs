//! Looking at something only when it has called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Whether something called since it was looked at. A session is woken for many reasons, and a look
/// at what has nothing to say may cost as much as what it was woken for.
pub(super) struct Called {
    call: Arc<Call>,
    /// Of the call.
    waker: Waker,
}

struct Call {
    came: AtomicBool,
    session: AtomicWaker,
}

impl Called {
    /// It is looked at first without a call.
    pub(super) fn new() -> Self {
        let call = Arc::new(Call {
            came: AtomicBool::new(true),
            session: AtomicWaker::new(),
        });
        Self {
            waker: Waker::from(Arc::clone(&call)),
            call,
        }
    }

    /// Looks if it called, or if it `must` be looked at. Whatever `look` polls may call only by the
    /// context that it is given. It has to be looked at again, whether it calls or not, if it was
    /// ready.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        must: bool,
        look: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Before it is asked whether a call came, so that the next one wakes.
        self.call.session.register(cx.waker());
        if !self.call.came.swap(false, Ordering::AcqRel) && !must {
            return Poll::Pending;
        }
        look(&mut Context::from_waker(&self.waker))
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.came.store(true, Ordering::Release);
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
    async fn what_is_idle_is_looked_at_when_it_calls_or_must_be() {
        let (tell, told) = oneshot::channel();
        let (called, mut told, mut looks) = (Called::new(), pin!(told), 0);
        for (must, expected) in [(false, 1), (false, 1), (true, 2), (false, 2)] {
            let look = poll_fn(|cx| {
                called.poll(cx, must, |cx| {
                    looks += 1;
                    told.as_mut().poll(cx)
                })
            });
            assert!(look.now_or_never().is_none());
            assert_eq!(looks, expected);
        }
        let look = poll_fn(|cx| called.poll(cx, false, |cx| told.as_mut().poll(cx)));
        let (told, ()) = tokio::join!(look, async { tell.send(7).unwrap() });
        assert_eq!(told, Ok(7));
    }
}
