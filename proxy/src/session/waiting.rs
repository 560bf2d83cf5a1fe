//! What a session waits for beside its socket.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use streamgate_protocol::{CacheResult, Reply};

use crate::session::in_flight::Ticket;
use streamgate_backend::Progress;

/// Requests that arrived together, being performed.
pub(super) struct Performing<'b> {
    batch: Option<Batch>,
    future: BoxFuture<'b, Vec<Progress<'b>>>,
}

/// Which requests are performed together.
pub(super) struct Batch {
    pub(super) tickets: Vec<Ticket>,
    pub(super) bytes: usize,
}

/// A request that waits for an entry, until it is cancelled.
pub(super) struct Wait<'b> {
    ticket: Ticket,
    future: Abortable<Ongoing<'b>>,
}

/// Ends a wait.
pub(super) struct WaitHandle<'b> {
    ongoing: Ongoing<'b>,
    abort: AbortHandle,
}

/// A wait that its handle can drop wherever it is kept.
struct Ongoing<'b>(Arc<Mutex<Option<BoxFuture<'b, CacheResult<Reply>>>>>);

impl<'b> Performing<'b> {
    pub(super) fn new(batch: Batch, future: BoxFuture<'b, Vec<Progress<'b>>>) -> Self {
        Self {
            batch: Some(batch),
            future,
        }
    }
}

impl<'b> Future for Performing<'b> {
    type Output = (Batch, Vec<Progress<'b>>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let progress = std::task::ready!(self.future.as_mut().poll(cx));
        match self.batch.take() {
            Some(batch) => Poll::Ready((batch, progress)),
            // Polled after its end, which no caller does.
            None => Poll::Pending,
        }
    }
}

impl<'b> Wait<'b> {
    /// A wait and the handle that ends it.
    pub(super) fn new(
        ticket: Ticket,
        future: BoxFuture<'b, CacheResult<Reply>>,
    ) -> (WaitHandle<'b>, Self) {
        let ongoing = Arc::new(Mutex::new(Some(future)));
        let (abort, registration) = AbortHandle::new_pair();
        let future = Abortable::new(Ongoing(Arc::clone(&ongoing)), registration);
        let ongoing = Ongoing(ongoing);
        (WaitHandle { ongoing, abort }, Self { ticket, future })
    }
}

impl<'b> WaitHandle<'b> {
    /// Ends the wait before this returns: what is performed next finds nobody waiting.
    pub(super) fn end(self) {
        drop(self.ongoing.take());
        self.abort.abort();
    }
}

impl<'b> Ongoing<'b> {
    fn take(&self) -> Option<BoxFuture<'b, CacheResult<Reply>>> {
        // A future that panicked takes its task with it; there is no state to protect.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Future for Ongoing<'_> {
    type Output = CacheResult<Reply>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out while it is polled, so that no lock is held meanwhile. One task has both the
        // wait and its handle, so nobody looks for it now.
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

impl Future for Wait<'_> {
    type Output = (Ticket, Result<CacheResult<Reply>, Aborted>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = std::task::ready!(Pin::new(&mut self.future).poll(cx));
        Poll::Ready((self.ticket, result))
    }
}

/// Polls a future once, so that what it asks for is asked before anything that comes later.
pub(super) async fn begin<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}
