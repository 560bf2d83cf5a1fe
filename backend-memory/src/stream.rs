//! One stream: its entries, its groups and the readers that wait for it.

use std::collections::{BTreeMap, HashMap, VecDeque, vec_deque};
use std::mem;
use std::sync::Arc;

use streamgate_protocol::StreamEntry;
use tokio::sync::oneshot;

use crate::budget::entry_bytes;
use crate::group::Group;
use crate::tail_queues::Followers;
use streamgate_protocol::EntryId;

/// An entry, shared by all that read it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    fields: Vec<(String, String)>,
    /// What holding it costs.
    pub(crate) bytes: usize,
    /// What pushing it costs, as [`message::entry_bytes`](streamgate_protocol::message::entry_bytes)
    /// counts it.
    pub(crate) cost: u64,
}

/// A stream that nothing was added to and that has no group is as good as missing: no operation
/// can tell the two apart. It is held only for the readers that wait for it.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The last id generated. Trimming does not change it.
    pub(crate) last_id: EntryId,
    /// The last entry that was trimmed; 0-0 while none was. Nothing else takes entries away, so
    /// what a follower behind it has not seen yet is all there.
    pub(crate) trimmed: EntryId,
    /// In the order of their ids.
    entries: VecDeque<Arc<Entry>>,
    pub(crate) groups: HashMap<String, Group>,
    /// By the order they came in. None of them could be answered when it came, and every add
    /// answers those it can.
    pub(crate) readers: BTreeMap<u64, WaitingReader>,
    pub(crate) followers: Followers,
}

/// A reader that waits for an entry after `after`.
#[derive(Debug)]
pub(crate) struct WaitingReader {
    pub(crate) after: EntryId,
    pub(crate) sender: oneshot::Sender<Arc<Entry>>,
    pub(crate) bytes: usize,
}

impl Entry {
    pub(crate) fn new(id: EntryId, mut fields: Vec<(String, String)>) -> Self {
        // What a string could hold is not counted, so it must not be held.
        fields.shrink_to_fit();
        for (name, value) in &mut fields {
            name.shrink_to_fit();
            value.shrink_to_fit();
        }
        let text: usize = fields.iter().map(|(n, v)| n.len() + v.len()).sum();
        Self {
            id,
            cost: (id.to_string().len() + text) as u64,
            bytes: entry_bytes(&fields),
            fields,
        }
    }

    pub(crate) fn to_stream_entry(&self) -> StreamEntry {
        (self.id.to_string(), self.fields.clone())
    }
}

impl Stream {
    /// Whether it is as good as missing.
    pub(crate) fn is_blank(&self) -> bool {
        self.last_id == EntryId::ZERO && self.groups.is_empty()
    }

    /// Whether it is of no use to anybody: blank, and nobody waits for it.
    pub(crate) fn is_unused(&self) -> bool {
        self.is_blank() && self.readers.is_empty() && self.followers.is_empty()
    }

    pub(crate) fn first(&self) -> Option<EntryId> {
        self.entries.front().map(|entry| entry.id)
    }

    /// Where reading begins that is to miss nothing of what is left.
    pub(crate) fn start(&self) -> EntryId {
        self.before_last(usize::MAX)
    }

    /// Where reading begins that is to give the last `count` entries.
    pub(crate) fn before_last(&self, count: usize) -> EntryId {
        let place = self.entries.len().saturating_sub(count);
        let first = self.entries.get(place);
        first.map_or(self.last_id, |first| {
            first.id.predecessor().unwrap_or_default()
        })
    }

    pub(crate) fn contains(&self, id: EntryId) -> bool {
        self.entry(id).is_some()
    }

    pub(crate) fn entry(&self, id: EntryId) -> Option<&Arc<Entry>> {
        let place = self.entries.binary_search_by_key(&id, |entry| entry.id);
        self.entries.get(place.ok()?)
    }

    /// The entries after `after`, oldest first.
    pub(crate) fn all_after(&self, after: EntryId) -> vec_deque::Iter<'_, Arc<Entry>> {
        let first = self.entries.partition_point(|entry| entry.id <= after);
        self.entries.range(first..)
    }

    /// Up to `count` entries after `after`, oldest first.
    pub(crate) fn after(&self, after: EntryId, count: usize) -> Vec<Arc<Entry>> {
        self.all_after(after).take(count).cloned().collect()
    }

    /// The last `count` entries, newest first.
    pub(crate) fn latest(&self, count: usize) -> Vec<Arc<Entry>> {
        self.entries.iter().rev().take(count).cloned().collect()
    }

    /// What trimming to `maxlen` would give back once one more entry is there.
    pub(crate) fn bytes_beyond(&self, maxlen: usize) -> usize {
        let kept = maxlen.saturating_sub(1);
        let surplus = self.entries.len().saturating_sub(kept);
        self.entries.range(..surplus).map(|entry| entry.bytes).sum()
    }

    /// Adds at the end. The entry's id is greater than all before it.
    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        self.last_id = entry.id;
        self.entries.push_back(entry);
    }

    /// Drops the oldest entries beyond `maxlen` and returns the bytes that frees.
    pub(crate) fn trim(&mut self, maxlen: usize) -> usize {
        let surplus = self.entries.len().saturating_sub(maxlen);
        if let Some(last) = surplus
            .checked_sub(1)
            .and_then(|last| self.entries.get(last))
        {
            self.trimmed = last.id;
        }
        self.entries.drain(..surplus).map(|entry| entry.bytes).sum()
    }

    /// Whether this entry was not trimmed by the add it came with.
    pub(crate) fn ends_with(&self, entry: &Entry) -> bool {
        self.entries.back().is_some_and(|last| last.id == entry.id)
    }

    /// Takes out the readers that an entry with this id answers, in the order they came.
    pub(crate) fn readers_before(&mut self, id: EntryId) -> BTreeMap<u64, WaitingReader> {
        let all = mem::take(&mut self.readers);
        let (ready, waiting) = all.into_iter().partition(|(_, reader)| reader.after < id);
        self.readers = waiting;
        ready
    }
}
