//! Entries that several tails read together.

use std::sync::{Arc, OnceLock};

use streamgate_backend::Segment;
use streamgate_protocol::EntryId;
use streamgate_protocol::message::Credit;

use crate::entry::Entry;

/// The most entries that a tail reads at once, however much room it has: enough to share the price
/// of a poll, few enough that other tails have their turn.
pub(crate) const MAX_BATCH_ENTRIES: usize = 512;

/// The most bytes that a tail reads at once. The last entry may go beyond.
pub(crate) const MAX_BATCH_BYTES: u64 = 256 * 1024;

/// Copies of an entry in a shared batch: the entry, and one in each of the two encodings.
const COPIES: usize = 3;

/// Consecutive entries of a stream. All tails that read the same share one segment.
#[derive(Debug)]
pub(crate) struct Batch {
    entries: Vec<Arc<Entry>>,
    segment: OnceLock<Arc<Segment>>,
}

impl Batch {
    pub(crate) fn new(entries: Vec<Arc<Entry>>) -> Arc<Self> {
        let segment = OnceLock::new();
        Arc::new(Self { entries, segment })
    }

    /// Bytes that keeping it costs.
    pub(crate) fn bytes(&self) -> usize {
        COPIES * self.entries.iter().map(|entry| entry.bytes).sum::<usize>()
    }

    /// Returns the segment to push. The first call copies the entries.
    pub(crate) fn segment(&self) -> Arc<Segment> {
        let copy = || self.entries.iter().map(|e| e.to_entry()).collect();
        Arc::clone(self.segment.get_or_init(|| Segment::new(copy())))
    }

    /// Whether it has exactly these entries.
    pub(crate) fn has(&self, entries: &[Arc<Entry>]) -> bool {
        ends(&self.entries) == ends(entries)
    }
}

/// Takes as many entries as there is room for, and no more than a batch may have.
pub(crate) fn take<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    room: Credit,
) -> Vec<Arc<Entry>> {
    let count = usize::try_from(room.entries).unwrap_or(usize::MAX);
    let mut bytes = room.bytes.min(MAX_BATCH_BYTES);
    let fits = |entry: &&Arc<Entry>| {
        let fits = bytes > 0;
        bytes = bytes.saturating_sub(entry.cost);
        fits
    };
    let entries = entries.take(count.min(MAX_BATCH_ENTRIES));
    entries.take_while(fits).cloned().collect()
}

/// The first and the last id. No entry is removed from the middle of a stream, so two batches with
/// the same ends have the same entries.
fn ends(entries: &[Arc<Entry>]) -> Option<(EntryId, EntryId)> {
    Some((entries.first()?.id, entries.last()?.id))
}
