//! The waiting readers of one stream, and the one read that serves them all.

use std::collections::btree_map::Entry as CountEntry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use streamgate_protocol::{CacheError, CacheResult, Entry, EntryId};

use crate::hub::deadlines::Deadlines;
use crate::hub::probe::ArmingRead;
use crate::hub::shared_entries::SharedEntries;
use crate::hub::waiter::ReadWaiter;
use crate::operation::entry_sizes::at_most;
use crate::tail::range::entry_id;

/// The waiting readers of one stream. One read serves all of them, and costs nothing for those
/// that it does not serve: somebody may wait ten thousand times for an id that never comes.
#[derive(Default)]
pub(super) struct ReadWaiters {
    /// By the id after which they read, and their number.
    by_id: BTreeMap<(EntryId, u64), ReadWaiter>,
    /// The ids of the readers, by number.
    ids: HashMap<u64, EntryId>,
    /// How many readers ask for a number of entries. No limit is the largest number.
    counts: BTreeMap<u64, usize>,
}

/// What the delivery of a read's entries tells.
pub(super) struct ReadOutcome {
    /// No entry was after this id when the key was armed. Unknown if absent.
    pub(super) end: Option<EntryId>,
    /// Readers are left for which there may be entries.
    pub(super) needs_read: bool,
}

impl ReadWaiters {
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn add(&mut self, reader: ReadWaiter) {
        *self
            .counts
            .entry(at_most(reader.count, u64::MAX))
            .or_default() += 1;
        self.ids.insert(reader.number, reader.after);
        self.by_id.insert((reader.after, reader.number), reader);
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<ReadWaiter> {
        let after = self.ids.remove(&number)?;
        let reader = self.by_id.remove(&(after, number))?;
        if let CountEntry::Occupied(mut readers) =
            self.counts.entry(at_most(reader.count, u64::MAX))
        {
            *readers.get_mut() -= 1;
            if *readers.get() == 0 {
                readers.remove();
            }
        }
        Some(reader)
    }

    /// Returns one read for all readers: after the smallest id, with the largest count. Without
    /// readers it only arms the key.
    pub(super) fn read(&self) -> ArmingRead {
        let first = self.by_id.first_key_value();
        let largest = self.counts.last_key_value();
        let (Some(((after, _), _)), Some((&largest, _))) = (first, largest) else {
            return ArmingRead::ARM_ONLY;
        };
        ArmingRead {
            after: *after,
            count: if largest == u64::MAX { 0 } else { largest },
        }
    }

    /// Sends each reader the entries after its own id.
    pub(super) fn deliver(
        &mut self,
        read: ArmingRead,
        entries: Vec<Entry>,
        deadlines: &mut Deadlines,
    ) -> CacheResult<ReadOutcome> {
        let ids: Vec<EntryId> = entries.iter().map(entry_id).collect::<CacheResult<_>>()?;
        let found = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let may_have_more = read.count > 0 && found >= read.count;

        let entries = Arc::new(entries);
        let last = ids.last().copied().unwrap_or(read.after).max(read.after);
        // A reader of a smaller id came while this read, which began after that id, was in flight.
        let came_later = self.first_id().is_some_and(|after| after < read.after);
        // The readers before the last entry are those for which there is one.
        let served = self.by_id.range((read.after, 0)..(last, 0));
        let served: Vec<u64> = served.map(|((_, number), _)| *number).collect();
        for number in served {
            let Some(reader) = self.remove(number) else {
                continue;
            };
            let start = ids.partition_point(|id| *id <= reader.after);
            let available = ids.len() - start;
            let length = match usize::try_from(reader.count) {
                Ok(count) if count > 0 => available.min(count),
                _ => available,
            };
            deadlines.remove(reader.waiter.deadline, number);
            let entries = SharedEntries::slice(&entries, start..start + length);
            reader.waiter.complete(Ok(entries));
        }
        Ok(ReadOutcome {
            end: (!may_have_more).then_some(last),
            needs_read: came_later || (may_have_more && !self.is_empty()),
        })
    }

    /// Ends every wait with an error.
    pub(super) fn fail(&mut self, error: &CacheError, deadlines: &mut Deadlines) {
        for (_, reader) in std::mem::take(self).by_id {
            deadlines.remove(reader.waiter.deadline, reader.number);
            reader.waiter.complete(Err(error.clone()));
        }
    }

    fn first_id(&self) -> Option<EntryId> {
        self.by_id.first_key_value().map(|((after, _), _)| *after)
    }
}
