//! What the hub has for one follower.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use streamgate_protocol::{CacheError, StreamEntry};
use tokio::sync::OwnedSemaphorePermit;

use streamgate_backend::tail::gap::Discontinuity;
use streamgate_backend::tail::segment::Segment;
use streamgate_protocol::EntryId;

/// Bytes of segments in one queue, if more than one: a page of the backlog. A follower that is
/// further behind reads pages by itself.
const MAX_QUEUED_BYTES: usize = 256 * 1024;

/// Segments in one queue: what a busy stream brings in the time of some round trips.
const MAX_QUEUED: usize = 64;

/// What an entry takes in memory beside its texts: the headers of its strings.
const ENTRY_OVERHEAD: usize = 128;

/// A segment that is in queues. It counts against the bound on all of them until it is in none.
#[derive(Debug)]
pub(crate) struct QueuedSegment {
    pub(crate) segment: Arc<Segment>,
    pub(crate) first: EntryId,
    pub(crate) last: EntryId,
    bytes: usize,
    total: QueuedBytes,
}

/// Bytes of all segments that are in queues.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueuedBytes(Arc<AtomicUsize>);

/// Between the hub and one follower, from when it joins until it leaves or falls behind.
#[derive(Debug)]
pub(crate) struct FeedQueue {
    inner: Mutex<FeedQueueState>,
    /// Counts against the bound on all who wait.
    _permit: Arc<OwnedSemaphorePermit>,
}

/// What comes to a follower.
#[derive(Debug)]
pub(crate) enum FeedEvent {
    /// All behind this id will come. Always the first.
    Joined(EntryId),
    Segment(Arc<QueuedSegment>),
    Gap(Discontinuity),
    /// Too much was queued. Nothing more comes.
    Lagged,
    /// The tail is over.
    Ended(CacheError),
}

#[derive(Debug, Default)]
struct FeedQueueState {
    joined: Option<EntryId>,
    items: VecDeque<QueuedItem>,
    bytes: usize,
    end: Option<QueueEnd>,
    waker: Option<Waker>,
    /// It is to be woken by the end only.
    wakes_on_end_only: bool,
}

/// Small, because there are many of them: a gap is rare and may cost an allocation.
#[derive(Debug)]
enum QueuedItem {
    Segment(Arc<QueuedSegment>),
    Gap(Box<Discontinuity>),
}

#[derive(Debug)]
enum QueueEnd {
    Lagged,
    Error(CacheError),
}

impl QueuedSegment {
    /// `first` and `last` must be the ids of the first and the last of the entries.
    pub(crate) fn new(
        entries: Vec<StreamEntry>,
        first: EntryId,
        last: EntryId,
        total: &QueuedBytes,
    ) -> Arc<Self> {
        let segment = Segment::new(entries);
        let texts = usize::try_from(segment.cost().bytes).unwrap_or(usize::MAX);
        let bytes = texts.saturating_add(segment.entries().len() * ENTRY_OVERHEAD);
        total.0.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Self {
            segment,
            first,
            last,
            bytes,
            total: total.clone(),
        })
    }
}

impl Drop for QueuedSegment {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl QueuedBytes {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl FeedQueue {
    pub(crate) fn new(permit: Arc<OwnedSemaphorePermit>) -> Self {
        Self {
            inner: Mutex::default(),
            _permit: permit,
        }
    }

    pub(crate) fn join(&self, at: EntryId) {
        self.change(|inner| inner.joined = Some(at));
    }

    /// Whether it still takes part: it does not if there is no room.
    pub(crate) fn push(&self, live: &Arc<QueuedSegment>) -> bool {
        self.change(|inner| {
            let bytes = inner.bytes.saturating_add(live.bytes);
            let room = inner.items.len() < MAX_QUEUED && bytes <= MAX_QUEUED_BYTES;
            if room || inner.items.is_empty() {
                inner.bytes = bytes;
                inner.items.push_back(QueuedItem::Segment(Arc::clone(live)));
                return true;
            }
            inner.end(QueueEnd::Lagged);
            false
        })
    }

    /// Whether it still takes part: it does not if there is no room.
    pub(crate) fn push_gap(&self, gap: Discontinuity) -> bool {
        self.change(|inner| {
            if inner.items.len() < MAX_QUEUED {
                inner.items.push_back(QueuedItem::Gap(Box::new(gap)));
                return true;
            }
            inner.end(QueueEnd::Lagged);
            false
        })
    }

    /// Lets it fall behind if it holds anything; whether it still takes part.
    pub(crate) fn lag_if_waiting(&self) -> bool {
        let inner = self.lock();
        if inner.items.is_empty() {
            return true;
        }
        drop(inner);
        self.lag();
        false
    }

    pub(crate) fn lag(&self) {
        self.change(|inner| inner.end(QueueEnd::Lagged));
    }

    /// What is queued still comes before the error does.
    pub(crate) fn end(&self, error: CacheError) {
        self.change(|inner| {
            if inner.end.is_none() {
                inner.end = Some(QueueEnd::Error(error));
                inner.wakes_on_end_only = false;
            }
        });
    }

    /// Waits for what comes next.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<FeedEvent> {
        let mut inner = self.lock();
        if let Some(at) = inner.joined.take() {
            return Poll::Ready(FeedEvent::Joined(at));
        }
        match inner.items.pop_front() {
            Some(QueuedItem::Segment(live)) => {
                inner.bytes = inner.bytes.saturating_sub(live.bytes);
                Poll::Ready(FeedEvent::Segment(live))
            }
            Some(QueuedItem::Gap(gap)) => Poll::Ready(FeedEvent::Gap(*gap)),
            None => inner.poll_end(cx, false),
        }
    }

    /// Waits for nothing but the end. An error comes at once, what is queued being lost.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<FeedEvent> {
        self.lock().poll_end(cx, true)
    }

    /// Takes back what [`poll`](Self::poll) gave, unless it fell behind meanwhile.
    pub(crate) fn put_back(&self, live: Arc<QueuedSegment>) {
        let mut inner = self.lock();
        if !matches!(inner.end, Some(QueueEnd::Lagged)) {
            inner.bytes = inner.bytes.saturating_add(live.bytes);
            inner.items.push_front(QueuedItem::Segment(live));
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut FeedQueueState) -> T) -> T {
        let mut inner = self.lock();
        let result = change(&mut inner);
        let waker = if inner.wakes_on_end_only {
            None
        } else {
            inner.waker.take()
        };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, FeedQueueState> {
        // Nothing that can panic happens under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
