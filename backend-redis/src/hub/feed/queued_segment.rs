//! A segment in the queues of tails, and the bound on the bytes of all queued segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use streamgate_backend::tail::segment::Segment;
use streamgate_protocol::{Entry, EntryId};

/// Memory that an entry takes beside its texts: the headers of its strings.
const ENTRY_OVERHEAD: usize = 128;

/// Maximum bytes of all segments in the queues of tails. Beyond it every tail lags whose queue is
/// not empty, and reads by itself as much as it has room for.
pub(in crate::hub) const MAX_TOTAL_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// A segment that is in queues. It counts in [`QueuedBytes`] until the last queue drops it.
#[derive(Debug)]
pub(crate) struct QueuedSegment {
    pub(crate) segment: Arc<Segment>,
    /// The id of the first entry.
    pub(crate) first: EntryId,
    /// The id of the last entry.
    pub(crate) last: EntryId,
    pub(super) bytes: usize,
    total: QueuedBytes,
}

/// The bytes of all segments that are in queues. Clones share the counter.
#[derive(Debug, Clone, Default)]
pub(in crate::hub) struct QueuedBytes(Arc<AtomicUsize>);

impl QueuedSegment {
    /// Creates a segment. `first` and `last` must be the ids of the first and the last entry.
    pub(super) fn new(
        entries: Vec<Entry>,
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
    /// Whether the queues hold more than [`MAX_TOTAL_QUEUED_BYTES`].
    pub(in crate::hub) fn exceed_bound(&self) -> bool {
        self.get() > MAX_TOTAL_QUEUED_BYTES
    }

    pub(in crate::hub) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
