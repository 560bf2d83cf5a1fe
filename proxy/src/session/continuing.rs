//! Requests that take further round trips, such as reads of many pages.
//!
//! Only a few of one socket are under way at once. The others wait for their turn, and so reserve
//! nothing in the memory budget.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use streamgate_protocol::{CacheResult, Reply};

use crate::session::limits::MAX_ACTIVE_CONTINUING;
use crate::session::request_ticket::RequestTicket;
use crate::session::waiting::WaitingRequest;

/// The requests of a socket that take further round trips, in the order in which they began.
#[derive(Default)]
pub(super) struct ContinuingRequests<'b> {
    active: FuturesUnordered<WaitingRequest<'b>>,
    queued: VecDeque<WaitingRequest<'b>>,
}

impl<'b> ContinuingRequests<'b> {
    pub(super) fn push(&mut self, request: WaitingRequest<'b>) {
        self.queued.push_back(request);
        self.activate();
    }

    pub(super) fn is_empty(&self) -> bool {
        // The queue is empty unless as many as may be are active.
        self.active.is_empty()
    }

    /// Returns how many are under way.
    pub(super) fn active(&self) -> usize {
        self.active.len()
    }

    /// Polls for the next that has ended, with no result if it was cancelled; `None` if there is
    /// none.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(RequestTicket, Option<CacheResult<Reply>>)>> {
        let next = self.active.poll_next_unpin(cx);
        if next.is_ready() {
            self.activate();
        }
        next.map(|ended| ended.map(|(ticket, result)| (ticket, result.ok())))
    }

    fn activate(&mut self) {
        while self.active.len() < MAX_ACTIVE_CONTINUING
            && let Some(request) = self.queued.pop_front()
        {
            self.active.push(request);
        }
    }
}
