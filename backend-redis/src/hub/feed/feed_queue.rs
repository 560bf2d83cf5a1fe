//! The bounded queue between a stream's feed and one tail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use streamgate_backend::tail::gap::Discontinuity;
use streamgate_protocol::{CacheError, EntryId};
use tokio::sync::OwnedSemaphorePermit;

use crate::hub::feed::queued_segment::QueuedSegment;

/// Maximum bytes of the segments in one queue, if there is more than one: a page of the backlog.
/// A tail that is further behind reads pages by itself.
const MAX_QUEUE_BYTES: usize = 256 * 1024;

/// Maximum number of segments in one queue: what a busy stream brings during a few round trips.
const MAX_QUEUE_SEGMENTS: usize = 64;

/// A queue from the moment a tail joins the feed until it leaves or lags.
#[derive(Debug)]
pub(crate) struct FeedQueue {
    state: Mutex<FeedQueueState>,
    /// Counts against the bound on all waits and tails.
    _permit: Arc<OwnedSemaphorePermit>,
}

/// What a tail receives from the feed.
#[derive(Debug)]
pub(crate) enum FeedEvent {
    /// The tail has joined: the feed sends every entry after this id. Always the first event.
    Joined(EntryId),
    Segment(Arc<QueuedSegment>),
    Gap(Discontinuity),
    /// The queue was full, and its items are dropped. No further event follows.
    Lagged,
    /// The next page may be too large for the hub's connection. No further event follows.
    CutOff,
    /// The tail ends with an error.
    Ended(CacheError),
}

#[derive(Debug, Default)]
struct FeedQueueState {
    joined: Option<EntryId>,
    items: VecDeque<QueuedItem>,
    bytes: usize,
    end: Option<QueueEnd>,
    waker: Option<Waker>,
    /// The tail has no room, so only the end wakes it.
    wakes_on_end_only: bool,
}

/// A queue has many items, so they are small. A gap is rare and may cost an allocation.
#[derive(Debug)]
enum QueuedItem {
    Segment(Arc<QueuedSegment>),
    Gap(Box<Discontinuity>),
}

#[derive(Debug)]
enum QueueEnd {
    Lagged,
    CutOff,
    Error(CacheError),
}

impl FeedQueue {
    pub(in crate::hub) fn new(permit: Arc<OwnedSemaphorePermit>) -> Self {
        Self {
            state: Mutex::default(),
            _permit: permit,
        }
    }

    /// Waits for the next event.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<FeedEvent> {
        let mut state = self.lock();
        if let Some(position) = state.joined.take() {
            return Poll::Ready(FeedEvent::Joined(position));
        }
        match state.items.pop_front() {
            Some(QueuedItem::Segment(queued)) => {
                state.bytes = state.bytes.saturating_sub(queued.bytes);
                Poll::Ready(FeedEvent::Segment(queued))
            }
            Some(QueuedItem::Gap(gap)) => Poll::Ready(FeedEvent::Gap(*gap)),
            None => state.poll_end(cx, false),
        }
    }

    /// Waits for the end only, which overtakes queued items.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<FeedEvent> {
        self.lock().poll_end(cx, true)
    }

    /// Puts a segment back that [`poll`](Self::poll) returned, unless the tail lags by now.
    pub(crate) fn put_back(&self, queued: Arc<QueuedSegment>) {
        let mut state = self.lock();
        if !matches!(state.end, Some(QueueEnd::Lagged | QueueEnd::CutOff)) {
            state.bytes = state.bytes.saturating_add(queued.bytes);
            state.items.push_front(QueuedItem::Segment(queued));
        }
    }

    pub(super) fn send_joined(&self, position: EntryId) {
        self.update(|state| state.joined = Some(position));
    }

    /// Queues a segment. Returns false if the queue is full: the tail lags then.
    pub(super) fn push(&self, queued: &Arc<QueuedSegment>) -> bool {
        self.update(|state| {
            let bytes = state.bytes.saturating_add(queued.bytes);
            let has_room = state.items.len() < MAX_QUEUE_SEGMENTS && bytes <= MAX_QUEUE_BYTES;
            if has_room || state.items.is_empty() {
                state.bytes = bytes;
                state
                    .items
                    .push_back(QueuedItem::Segment(Arc::clone(queued)));
                return true;
            }
            state.end(QueueEnd::Lagged);
            false
        })
    }

    /// Queues a gap. Returns false if the queue is full: the tail lags then.
    pub(super) fn push_gap(&self, gap: Discontinuity) -> bool {
        self.update(|state| {
            if state.items.len() < MAX_QUEUE_SEGMENTS {
                state.items.push_back(QueuedItem::Gap(Box::new(gap)));
                return true;
            }
            state.end(QueueEnd::Lagged);
            false
        })
    }

    /// Makes the tail lag if its queue has items. Returns false if it lags.
    pub(super) fn lag_unless_empty(&self) -> bool {
        let state = self.lock();
        if state.items.is_empty() {
            return true;
        }
        drop(state);
        self.lag();
        false
    }

    /// Drops the queued items, and makes the tail read by itself.
    pub(super) fn lag(&self) {
        self.update(|state| state.end(QueueEnd::Lagged));
    }

    /// Drops the queued items, and makes the tail read by itself and bound its feed.
    pub(super) fn cut_off(&self) {
        self.update(|state| state.end(QueueEnd::CutOff));
    }

    /// Ends the tail with an error, which follows the queued items.
    pub(super) fn end(&self, error: CacheError) {
        self.update(|state| {
            if state.end.is_none() {
                state.end = Some(QueueEnd::Error(error));
                state.wakes_on_end_only = false;
            }
        });
    }

    fn update<T>(&self, change: impl FnOnce(&mut FeedQueueState) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let waker = if state.wakes_on_end_only {
            None
        } else {
            state.waker.take()
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, FeedQueueState> {
        // Nothing that can panic happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FeedQueueState {
    fn end(&mut self, end: QueueEnd) {
        self.items = VecDeque::new();
        self.bytes = 0;
        self.wakes_on_end_only = false;
        self.end.get_or_insert(end);
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, wakes_on_end_only: bool) -> Poll<FeedEvent> {
        match &self.end {
            Some(QueueEnd::Lagged) => return Poll::Ready(FeedEvent::Lagged),
            Some(QueueEnd::CutOff) => return Poll::Ready(FeedEvent::CutOff),
            Some(QueueEnd::Error(error)) => return Poll::Ready(FeedEvent::Ended(error.clone())),
            None => {}
        }
        self.wakes_on_end_only = wakes_on_end_only;
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
