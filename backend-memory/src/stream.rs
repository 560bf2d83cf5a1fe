//! One stream: its entries and their trimming, its groups, and the readers and tails that wait for
//! entries.

use std::collections::{BTreeMap, HashMap, VecDeque, vec_deque};
use std::sync::Arc;

use streamgate_protocol::{ByteString, EntryId};
use tokio::sync::oneshot;

use crate::entry::Entry;
use crate::group::Group;
use crate::store::limit;
use crate::tail_registry::TailRegistry;

/// A stream. One to which nothing was added and that has no group is blank: no operation can tell
/// it from a missing one. A blank stream is kept only while readers or tails wait for its entries.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The last generated id. Trimming does not change it.
    pub(crate) last_id: EntryId,
    /// The last id that was trimmed; `0-0` if none was. Nothing else removes entries, so all
    /// entries after it are there.
    pub(crate) trimmed: EntryId,
    /// By rising ids.
    entries: VecDeque<Arc<Entry>>,
    pub(crate) groups: HashMap<ByteString, Group>,
    /// By the id after which they read, and by number: an add finds those that it serves without
    /// looking at the others, which may be many.
    pub(crate) waiting_readers: BTreeMap<(EntryId, u64), WaitingReader>,
    pub(crate) tails: TailRegistry,
    /// When an operation last added to the stream or used one of its groups, in ms since 1970.
    pub(crate) used_ms: u64,
}

/// A reader that waits for an entry.
#[derive(Debug)]
pub(crate) struct WaitingReader {
    pub(crate) sender: oneshot::Sender<Arc<Entry>>,
    /// Bytes that its wait costs.
    pub(crate) bytes: usize,
}

impl Stream {
    /// Whether no operation can tell the stream from a missing one.
    pub(crate) fn is_blank(&self) -> bool {
        self.last_id == EntryId::ZERO && self.groups.is_empty()
    }

    /// Whether the stream can be dropped: it is blank, and nobody waits for its entries.
    pub(crate) fn is_unused(&self) -> bool {
        self.is_blank() && self.waiting_readers.is_empty() && self.tails.is_empty()
    }

    /// Whether nobody misses the stream: it has no entry, nobody waits for one, and no entry is
    /// pending in its groups.
    pub(crate) fn is_empty_and_unwatched(&self) -> bool {
        let is_unwatched = self.waiting_readers.is_empty() && self.tails.is_empty();
        is_unwatched && self.entries.is_empty() && self.groups.values().all(Group::is_inactive)
    }

    pub(crate) fn first(&self) -> Option<EntryId> {
        self.entries.front().map(|entry| entry.id)
    }

    /// Returns the id after which a reader gets every entry left.
    pub(crate) fn start(&self) -> EntryId {
        self.before_last(usize::MAX)
    }

    /// Returns the id after which a reader gets the last `count` entries.
    pub(crate) fn before_last(&self, count: usize) -> EntryId {
        let index = self.entries.len().saturating_sub(count);
        let first = self.entries.get(index);
        first.map_or(self.last_id, |first| {
            first.id.predecessor().unwrap_or_default()
        })
    }

    pub(crate) fn contains(&self, id: EntryId) -> bool {
        self.entry(id).is_some()
    }

    pub(crate) fn entry(&self, id: EntryId) -> Option<&Arc<Entry>> {
        let index = self.entries.binary_search_by_key(&id, |entry| entry.id);
        self.entries.get(index.ok()?)
    }

    /// Returns the entries after `after`, oldest first.
    pub(crate) fn all_after(&self, after: EntryId) -> vec_deque::Iter<'_, Arc<Entry>> {
        let first = self.entries.partition_point(|entry| entry.id <= after);
        self.entries.range(first..)
    }

    /// Returns up to `count` entries after `after`, oldest first. A count of 0 sets no limit.
    pub(crate) fn after(&self, after: EntryId, count: u64) -> impl Iterator<Item = &Arc<Entry>> {
        self.all_after(after).take(limit(count))
    }

    /// Returns the entries, newest first.
    pub(crate) fn latest(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().rev()
    }

    /// Bytes that trimming to `maxlen` would free after one more add.
    pub(crate) fn bytes_beyond(&self, maxlen: usize) -> usize {
        let surplus = surplus(self.entries.len() + 1, maxlen).min(self.entries.len());
        self.entries.range(..surplus).map(|entry| entry.bytes).sum()
    }

    /// Appends an entry, whose id is greater than all before it.
    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        self.last_id = entry.id;
        self.entries.push_back(entry);
    }

    /// Drops the oldest entries beyond `maxlen` and returns the bytes that this frees.
    pub(crate) fn trim(&mut self, maxlen: usize) -> usize {
        let surplus = surplus(self.entries.len(), maxlen);
        if let Some(last) = surplus
            .checked_sub(1)
            .and_then(|last| self.entries.get(last))
        {
            self.trimmed = last.id;
        }
        self.entries.drain(..surplus).map(|entry| entry.bytes).sum()
    }

    /// Whether the last entry is this one: its own add may have trimmed it.
    pub(crate) fn ends_with(&self, entry: &Entry) -> bool {
        self.entries.back().is_some_and(|last| last.id == entry.id)
    }

    /// Removes and returns the readers that wait for an entry with this id, in the order in which
    /// they came.
    pub(crate) fn take_readers_before(
        &mut self,
        id: EntryId,
    ) -> impl Iterator<Item = WaitingReader> + use<> {
        let mut ready = Vec::new();
        while let Some(first) = self.waiting_readers.first_entry()
            && first.key().0 < id
        {
            let ((_, number), reader) = first.remove_entry();
            ready.push((number, reader));
        }
        ready.sort_unstable_by_key(|(number, _)| *number);
        ready.into_iter().map(|(_, reader)| reader)
    }
}

/// How many of the oldest entries trimming drops: exactly those beyond `maxlen`.
///
/// That is a lawful reading of `MAXLEN ~`. Redis with `stream-node-max-entries 1` does the same, so
/// the two can be compared operation by operation.
fn surplus(entries: usize, maxlen: usize) -> usize {
    entries.saturating_sub(maxlen)
}
