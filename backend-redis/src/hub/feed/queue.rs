//! What the hub has for one follower.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use streamgate_protocol::{CacheError, StreamEntry};
use tokio::sync::OwnedSemaphorePermit;

use streamgate_backend::entry_id::EntryId;
use streamgate_backend::tail::gap::Discontinuity;
use streamgate_backend::tail::segment::Segment;

/// Bytes of segments in one queue, if more than one: a page of the backlog. A follower that is
/// further behind reads pages by itself.
const MAX_QUEUED_BYTES: usize = 256 * 1024;

/// Segments in one queue: what a busy stream brings in the time of some round trips.
const MAX_QUEUED: usize = 64;

/// What an entry takes in memory beside its texts: the headers of its strings.
const ENTRY_OVERHEAD: usize = 128;

/// A segment that is in queues. It counts against the bound on all of them until it is in none.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) segment: Arc<Segment>,
    pub(crate) first: EntryId,
    pub(crate) last: EntryId,
    bytes: usize,
    total: LiveBytes,
}

/// Bytes of all segments that are in queues.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveBytes(Arc<AtomicUsize>);

/// Between the hub and one follower, from when it joins until it leaves or falls behind.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Counts against the bound on all who wait.
    _permit: Arc<OwnedSemaphorePermit>,
}

/// What comes to a follower.
#[derive(Debug)]
pub(crate) enum News {
    /// All behind this id will come. Always the first.
    Joined(EntryId),
    Segment(Arc<Live>),
    Gap(Discontinuity),
    /// Too much was queued. Nothing more comes.
    Lagged,
    /// The tail is over.
    Ended(CacheError),
}

#[derive(Debug, Default)]
struct Inner {
    joined: Option<EntryId>,
    items: VecDeque<Item>,
    bytes: usize,
    end: Option<End>,
    waker: Option<Waker>,
    /// It is to be woken by the end only.
    quiet: bool,
}

/// Small, because there are many of them: a gap is rare and may cost an allocation.
#[derive(Debug)]
enum Item {
    Segment(Arc<Live>),
    Gap(Box<Discontinuity>),
}

#[derive(Debug)]
enum End {
    Lagged,
    Error(CacheError),
}

impl Live {
    /// `first` and `last` must be the ids of the first and the last of the entries.
    pub(crate) fn new(
        entries: Vec<StreamEntry>,
        first: EntryId,
        last: EntryId,
        total: &LiveBytes,
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

impl Drop for Live {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl LiveBytes {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Queue {
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
    pub(crate) fn push(&self, live: &Arc<Live>) -> bool {
        self.change(|inner| {
            let bytes = inner.bytes.saturating_add(live.bytes);
            let room = inner.items.len() < MAX_QUEUED && bytes <= MAX_QUEUED_BYTES;
            if room || inner.items.is_empty() {
                inner.bytes = bytes;
                inner.items.push_back(Item::Segment(Arc::clone(live)));
                return true;
            }
            inner.end(End::Lagged);
            false
        })
    }

    /// Whether it still takes part: it does not if there is no room.
    pub(crate) fn push_gap(&self, gap: Discontinuity) -> bool {
        self.change(|inner| {
            if inner.items.len() < MAX_QUEUED {
                inner.items.push_back(Item::Gap(Box::new(gap)));
                return true;
            }
            inner.end(End::Lagged);
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
        self.change(|inner| inner.end(End::Lagged));
    }

    /// What is queued still comes before the error does.
    pub(crate) fn end(&self, error: CacheError) {
        self.change(|inner| {
            if inner.end.is_none() {
                inner.end = Some(End::Error(error));
                inner.quiet = false;
            }
        });
    }

    /// Waits for what comes next.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<News> {
        let mut inner = self.lock();
        if let Some(at) = inner.joined.take() {
            return Poll::Ready(News::Joined(at));
        }
        match inner.items.pop_front() {
            Some(Item::Segment(live)) => {
                inner.bytes = inner.bytes.saturating_sub(live.bytes);
                Poll::Ready(News::Segment(live))
            }
            Some(Item::Gap(gap)) => Poll::Ready(News::Gap(*gap)),
            None => inner.poll_end(cx, false),
        }
    }

    /// Waits for nothing but the end. An error comes at once, what is queued being lost.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<News> {
        self.lock().poll_end(cx, true)
    }

    /// Takes back what [`poll`](Self::poll) gave, unless it fell behind meanwhile.
    pub(crate) fn put_back(&self, live: Arc<Live>) {
        let mut inner = self.lock();
        if !matches!(inner.end, Some(End::Lagged)) {
            inner.bytes = inner.bytes.saturating_add(live.bytes);
            inner.items.push_front(Item::Segment(live));
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let result = change(&mut inner);
        let waker = if inner.quiet {
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic happens under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn end(&mut self, end: End) {
        self.items = VecDeque::new();
        self.bytes = 0;
        self.quiet = false;
        self.end.get_or_insert(end);
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, quiet: bool) -> Poll<News> {
        match &self.end {
            Some(End::Lagged) => return Poll::Ready(News::Lagged),
            Some(End::Error(error)) => return Poll::Ready(News::Ended(error.clone())),
            None => {}
        }
        self.quiet = quiet;
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
