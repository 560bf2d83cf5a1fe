//! Requests that wait for an entry, and how to cancel one.
//!
//! Cancelling drops the wait at once, before the session performs the next operation: otherwise the
//! backend could still hand an entry to a consumer that has gone.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use streamgate_protocol::{CacheResult, Reply};

use crate::session::request_ticket::RequestTicket;

/// A request that waits until it has a reply, or is cancelled.
pub(super) struct WaitingRequest<'b> {
    ticket: RequestTicket,
    future: Abortable<SharedWait<'b>>,
}

/// Cancels a [`WaitingRequest`].
pub(super) struct WaitHandle<'b> {
    wait: SharedWait<'b>,
    abort: AbortHandle,
}

/// A wait that its handle can drop while the request is elsewhere.
#[derive(Clone)]
struct SharedWait<'b>(Arc<Mutex<Option<BoxFuture<'b, CacheResult<Reply>>>>>);

impl<'b> WaitingRequest<'b> {
    pub(super) fn new(
        ticket: RequestTicket,
        future: BoxFuture<'b, CacheResult<Reply>>,
    ) -> (WaitHandle<'b>, Self) {
        let wait = SharedWait(Arc::new(Mutex::new(Some(future))));
        let (abort, registration) = AbortHandle::new_pair();
        let future = Abortable::new(wait.clone(), registration);
        (WaitHandle { wait, abort }, Self { ticket, future })
    }
}

impl WaitHandle<'_> {
    /// Drops the wait before this returns.
    pub(super) fn cancel(self) {
        drop(self.wait.take());
        self.abort.abort();
    }
}

impl<'b> SharedWait<'b> {
    fn take(&self) -> Option<BoxFuture<'b, CacheResult<Reply>>> {
        // A future that panics ends its task too, so no state needs protection.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Future for SharedWait<'_> {
    type Output = CacheResult<Reply>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out while it is polled, so that no lock is held meanwhile. One task owns both the
        // wait and its handle, so the handle cannot miss it now.
        let Some(mut future) = self.take() else {
            return Poll::Pending;
        };
        let result = future.as_mut().poll(cx);
        if result.is_pending() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(future);
        }
        result
    }
}

impl Future for WaitingRequest<'_> {
    type Output = (RequestTicket, Result<CacheResult<Reply>, Aborted>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.future).poll(cx));
        Poll::Ready((self.ticket, result))
    }
}
