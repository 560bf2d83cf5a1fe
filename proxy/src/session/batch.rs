//! Requests that arrived together and are performed together.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use streamgate_backend::Progress;

use crate::session::request_ticket::RequestTicket;

/// The requests of a batch, in the order of their operations.
pub(super) struct RequestBatch {
    pub(super) tickets: Vec<RequestTicket>,
    /// Bytes of the requests, with what is kept free for their replies.
    pub(super) bytes: usize,
    /// Bytes that the backend moves for them before it comes to others, as far as it knows.
    pub(super) moved_bytes: usize,
}

/// A batch that the backend performs.
pub(super) struct PerformingBatch<'b> {
    batch: Option<RequestBatch>,
    future: BoxFuture<'b, Vec<Progress<'b>>>,
}

impl<'b> PerformingBatch<'b> {
    pub(super) fn new(batch: RequestBatch, future: BoxFuture<'b, Vec<Progress<'b>>>) -> Self {
        Self {
            batch: Some(batch),
            future,
        }
    }
}

impl<'b> Future for PerformingBatch<'b> {
    type Output = (RequestBatch, Vec<Progress<'b>>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let progress = ready!(self.future.as_mut().poll(cx));
        match self.batch.take() {
            Some(batch) => Poll::Ready((batch, progress)),
            // Polled after its end, which no caller does.
            None => Poll::Pending,
        }
    }
}
