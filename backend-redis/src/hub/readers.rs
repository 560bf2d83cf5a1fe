//! The waiting readers of one stream, and the one read that serves them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use streamgate_protocol::{CacheError, CacheResult, Entry, EntryId};

use crate::hub::deadlines::Deadlines;
use crate::hub::probe::ArmingRead;
use crate::hub::shared_entries::SharedEntries;
use crate::hub::waiter::ReadWaiter;
use crate::tail::range::entry_id;

/// The waiting readers of one stream, by number. One read serves all of them.
#[derive(Default)]
pub(super) struct ReadWaiters(BTreeMap<u64, ReadWaiter>);

/// What the delivery of a read's entries tells.
pub(super) struct ReadOutcome {
    /// No entry was after this id when the key was armed. Unknown if absent.
    pub(super) end: Option<EntryId>,
    /// Readers are left for which there may be entries.
    pub(super) needs_read: bool,
}

impl ReadWaiters {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, reader: ReadWaiter) {
        self.0.insert(reader.number, reader);
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<ReadWaiter> {
        self.0.remove(&number)
    }

    /// Returns one read for all readers: after the smallest id, with the largest count. Without
    /// readers it only arms the key.
    pub(super) fn read(&self) -> ArmingRead {
        let readers = || self.0.values();
        let Some(after) = readers().map(|reader| reader.after).min() else {
            return ArmingRead::ARM_ONLY;
        };
        let is_unlimited = readers().any(|reader| reader.count == 0);
        let largest = readers().map(|reader| reader.count).max().unwrap_or(0);
        ArmingRead {
            after,
            count: if is_unlimited { 0 } else { largest },
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
        let mut came_later = false;
        let mut served = Vec::new();
        for (&number, reader) in &self.0 {
            if reader.after < read.after {
                // The reader came while this read, which began after its id, was in flight.
                came_later = true;
                continue;
            }
            let start = ids.partition_point(|id| *id <= reader.after);
            let available = ids.len() - start;
            let length = match usize::try_from(reader.count) {
                Ok(count) if count > 0 => available.min(count),
                _ => available,
            };
            if length > 0 {
                served.push((number, start..start + length));
            }
        }
        for (number, range) in served {
            if let Some(reader) = self.0.remove(&number) {
                deadlines.remove(reader.waiter.deadline, number);
                let entries = SharedEntries::slice(&entries, range);
                reader.waiter.complete(Ok(entries));
            }
        }
        let last = ids.last().copied().unwrap_or(read.after);
        Ok(ReadOutcome {
            end: (!may_have_more).then_some(last),
            needs_read: came_later || (may_have_more && !self.is_empty()),
        })
    }

    /// Ends every wait with an error.
    pub(super) fn fail(&mut self, error: &CacheError, deadlines: &mut Deadlines) {
        while let Some((number, reader)) = self.0.pop_first() {
            deadlines.remove(reader.waiter.deadline, number);
            reader.waiter.complete(Err(error.clone()));
        }
    }
}
