//! Those that follow one stream, and what they share.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use streamgate_protocol::message::Credit;

use crate::stream::Entry;
use streamgate_backend::tail::segment::Segment;
use streamgate_protocol::EntryId;

/// Entries that a follower is given at once, however much it could take: enough to share the
/// price of a turn, few enough that others have theirs.
pub(crate) const MAX_BATCH_ENTRIES: usize = 512;

/// Bytes of entries that a follower is given at once. The last entry may go beyond.
pub(crate) const MAX_BATCH_BYTES: u64 = 256 * 1024;

/// An entry that is kept for followers is there once more, in each encoding it was asked for.
const COPIES: usize = 3;

/// Those that follow a stream.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    count: usize,
    /// Those that wait for the next add, by their numbers.
    parked: HashMap<u64, Waker>,
    /// What the last add gave them.
    newest: Option<Arc<Batch>>,
}

/// Entries that followers read together.
#[derive(Debug)]
pub(crate) struct Batch {
    entries: Vec<Arc<Entry>>,
    segment: OnceLock<Arc<Segment>>,
}

impl Followers {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn enter(&mut self) {
        self.count += 1;
    }

    /// Takes a follower off the list. Returns the bytes that nobody shares any longer.
    pub(crate) fn leave(&mut self, number: u64) -> usize {
        self.count -= 1;
        self.parked.remove(&number);
        if self.is_empty() { self.forget() } else { 0 }
    }

    /// Wakes a follower at the next add.
    pub(crate) fn park(&mut self, number: u64, waker: &Waker) {
        match self.parked.get_mut(&number) {
            Some(parked) => parked.clone_from(waker),
            None => drop(self.parked.insert(number, waker.clone())),
        }
    }

    /// Wakes all that wait: something was added. One that is not being polled costs nothing.
    /// Returns the bytes that nobody shares any longer.
    pub(crate) fn wake(&mut self) -> usize {
        for (_, waker) in self.parked.drain() {
            waker.wake();
        }
        self.forget()
    }

    /// What was kept, if it is these entries.
    pub(crate) fn shared(&self, entries: &[Arc<Entry>]) -> Option<Arc<Batch>> {
        let newest = self.newest.as_ref()?;
        (newest.ends() == ends(entries)).then(|| Arc::clone(newest))
    }

    /// Keeps a batch for those that come for the same. The caller has asked whether it fits.
    pub(crate) fn share(&mut self, batch: &Arc<Batch>) -> usize {
        let freed = self.forget();
        self.newest = Some(Arc::clone(batch));
        freed
    }

    fn forget(&mut self) -> usize {
        self.newest.take().map_or(0, |batch| batch.bytes())
    }
}

impl Batch {
    pub(crate) fn new(entries: Vec<Arc<Entry>>) -> Arc<Self> {
        let segment = OnceLock::new();
        Arc::new(Self { entries, segment })
    }

    /// What keeping it costs.
    pub(crate) fn bytes(&self) -> usize {
        COPIES * self.entries.iter().map(|entry| entry.bytes).sum::<usize>()
    }

    /// The entries as they are pushed; whoever asks first copies them.
    pub(crate) fn segment(&self) -> Arc<Segment> {
        let copy = || self.entries.iter().map(|e| e.to_stream_entry()).collect();
        Arc::clone(self.segment.get_or_init(|| Segment::new(copy())))
    }

    fn ends(&self) -> Option<(EntryId, EntryId)> {
        ends(&self.entries)
    }
}

/// As many entries as there is room for, and no more than a batch has.
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

/// No entry is taken out of the middle of a stream, so two batches with the same ends are the
/// same.
fn ends(entries: &[Arc<Entry>]) -> Option<(EntryId, EntryId)> {
    Some((entries.first()?.id, entries.last()?.id))
}
