//! What the backend does for a socket: batches of operations, requests that take further round
//! trips, and waits.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use streamgate_backend::Progress;
use streamgate_protocol::{CacheResult, Reply};

use crate::session::batch::{PerformingBatch, RequestBatch};
use crate::session::continuing::ContinuingRequests;
use crate::session::limits::MAX_PERFORMING_BATCHES;
use crate::session::request_ticket::RequestTicket;
use crate::session::waiting::WaitingRequest;

/// What the backend does for a socket and has not answered yet.
#[derive(Default)]
pub(super) struct BackendWork<'b> {
    batches: FuturesUnordered<PerformingBatch<'b>>,
    continuing: ContinuingRequests<'b>,
    waits: FuturesUnordered<WaitingRequest<'b>>,
    requests: usize,
    bytes: usize,
}

/// What the backend has answered.
pub(super) enum EndedWork<'b> {
    Batch(RequestBatch, Vec<Progress<'b>>),
    Request(EndedRequest),
}

/// A request that waited, or took further round trips.
pub(super) struct EndedRequest {
    pub(super) ticket: RequestTicket,
    /// None if the request was cancelled.
    pub(super) result: Option<CacheResult<Reply>>,
    /// Whether it is among those that have [`begun`](BackendWork::begin).
    pub(super) was_performing: bool,
}

impl<'b> BackendWork<'b> {
    /// Counts the requests of a batch that begins, until [`performed`](Self::performed).
    pub(super) fn begin(&mut self, batch: &RequestBatch) {
        self.requests += batch.tickets.len();
        self.bytes += batch.bytes;
    }

    pub(super) fn performed(&mut self, ticket: RequestTicket) {
        self.requests -= 1;
        self.bytes -= ticket.bytes;
    }

    pub(super) fn add_batch(&mut self, batch: PerformingBatch<'b>) {
        self.batches.push(batch);
    }

    pub(super) fn add_continuing(&mut self, request: WaitingRequest<'b>) {
        self.continuing.push(request);
    }

    pub(super) fn add_wait(&mut self, wait: WaitingRequest<'b>) {
        self.waits.push(wait);
    }

    /// Drops all waits. Whoever answers them has ended them before.
    pub(super) fn drop_waits(&mut self) {
        self.waits = FuturesUnordered::new();
    }

    /// Returns the requests that have begun, except waits.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// Returns their bytes, with what is kept free for their replies.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many requests that take further round trips are under way.
    pub(super) fn active_continuing(&self) -> usize {
        self.continuing.active()
    }

    pub(super) fn waits(&self) -> usize {
        self.waits.len()
    }

    /// Returns whether the backend may take another batch.
    pub(super) fn has_room(&self) -> bool {
        self.batches.len() < MAX_PERFORMING_BATCHES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.continuing.is_empty() && self.waits.is_empty()
    }

    /// Waits for what ends next; returns `None` if there is nothing.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no result is lost.
    pub(super) async fn next(&mut self) -> Option<EndedWork<'b>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Returns what has ended.
    pub(super) fn next_ended(&mut self) -> Option<EndedWork<'b>> {
        self.next().now_or_never().flatten()
    }

    /// Returns a wait that has ended.
    pub(super) fn next_ended_wait(&mut self) -> Option<EndedRequest> {
        let (ticket, result) = self.waits.next().now_or_never().flatten()?;
        Some(EndedRequest::of_wait(ticket, result.ok()))
    }

    /// Polls only sets that are not empty: to poll an empty one costs as much as to poll one that
    /// has nothing yet.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<EndedWork<'b>>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        if !self.batches.is_empty()
            && let Poll::Ready(Some((batch, progress))) = self.batches.poll_next_unpin(cx)
        {
            return Poll::Ready(Some(EndedWork::Batch(batch, progress)));
        }
        if !self.continuing.is_empty()
            && let Poll::Ready(Some((ticket, result))) = self.continuing.poll_next(cx)
        {
            return Poll::Ready(Some(EndedWork::Request(EndedRequest {
                ticket,
                result,
                was_performing: true,
            })));
        }
        if !self.waits.is_empty()
            && let Poll::Ready(Some((ticket, result))) = self.waits.poll_next_unpin(cx)
        {
            let ended = EndedRequest::of_wait(ticket, result.ok());
            return Poll::Ready(Some(EndedWork::Request(ended)));
        }
        Poll::Pending
    }
}

impl EndedRequest {
    pub(super) fn of_wait(ticket: RequestTicket, result: Option<CacheResult<Reply>>) -> Self {
        Self {
            ticket,
            result,
            was_performing: false,
        }
    }
}
