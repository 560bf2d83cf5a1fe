//! Where a tail stands, and what it knows of the stream there.

use streamgate_protocol::{CacheResult, StreamEntry};

use super::range::{Known, Range, RangeRead, entry_id};
use crate::continuity::{Break, Facts, judge};
use crate::entry_id::EntryId;

/// Where a tail stands: behind an entry, which may be gone meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) at: EntryId,
    /// The stream's count of added entries when nothing was left behind `at`, or less.
    added: Option<u64>,
    /// The entry was missing when it was last looked for, so that a read that does not check is
    /// not enough.
    cautious: bool,
}

/// What a read gives a tail.
#[derive(Debug)]
pub(super) struct Taken {
    /// What is missing before the entries.
    pub(super) gap: Option<Break>,
    /// None in spite of [`at_end`](Self::at_end) being false: another read is needed.
    pub(super) entries: Vec<StreamEntry>,
    /// There was no more.
    pub(super) at_end: bool,
    /// The last id that the stream gave, if that was asked.
    pub(super) last_generated: Option<EntryId>,
}

impl Standing {
    pub(super) fn new(at: EntryId, added: Option<u64>) -> Self {
        Self {
            at,
            added,
            // No entry has that id.
            cautious: at == EntryId::ZERO,
        }
    }

    /// The read from there.
    pub(super) fn read(&self, count: u64) -> RangeRead {
        RangeRead {
            at: self.at,
            count,
            checked: self.cautious,
        }
    }

    /// The first read of a tail that begins with the oldest entry there is.
    pub(super) fn first_read(count: u64) -> RangeRead {
        RangeRead {
            at: EntryId::ZERO,
            count,
            checked: true,
        }
    }

    /// Stands before what [`first_read`](Self::first_read) found: nothing is missing before that.
    pub(super) fn begin(range: Range) -> CacheResult<(Self, Taken)> {
        let facts = match range.known {
            Known::Stream(facts) => Some(facts),
            Known::NotAsked | Known::Missing => None,
        };
        let before_first = match range.entries.first() {
            Some(first) => entry_id(first)?.predecessor(),
            None => facts.map(|facts| facts.last_generated),
        };
        let at = before_first.unwrap_or(EntryId::ZERO);
        let added = facts.map_or(Some(0), |facts| facts.added.checked_sub(facts.length));
        let taken = Taken {
            gap: None,
            entries: range.entries,
            at_end: !range.full,
            last_generated: facts.map(|facts| facts.last_generated),
        };
        Ok((Self::new(at, added), taken))
    }

    /// Judges what a read found; none if it takes a check to judge it.
    ///
    /// Afterwards it stands before the entries; [`advance`](Self::advance) goes behind them.
    pub(super) fn take(&mut self, range: Range) -> Option<Taken> {
        let facts = match range.known {
            Known::NotAsked if range.present => {
                return Some(Taken {
                    gap: None,
                    entries: range.entries,
                    at_end: !range.full,
                    last_generated: None,
                });
            }
            Known::NotAsked => {
                self.cautious = true;
                return None;
            }
            Known::Missing => None,
            Known::Stream(facts) => Some(facts),
        };
        let gap = judge(self.at, range.present, self.added, facts.as_ref());
        self.cautious = !range.present;
        let mut taken = Taken {
            gap,
            entries: range.entries,
            at_end: !range.full,
            last_generated: facts.map(|facts| facts.last_generated),
        };
        if let Some(Break { position, .. }) = gap {
            // Entries before `at` are left to be read.
            if position < self.at && facts.is_some_and(|facts| facts.length > 0) {
                taken.entries.clear();
                taken.at_end = false;
            }
            *self = Self::new(position, None);
            self.cautious = true;
        }
        let read = taken.at_end.then_some(taken.entries.len() as u64);
        self.added = match &facts {
            None => Some(0),
            Some(facts) => added_at(self.at, read, facts).or(self.added),
        };
        Some(taken)
    }

    /// Goes behind entries that came in between, `to` being the last one's id.
    pub(super) fn advance(&mut self, to: EntryId, entries: usize) {
        self.at = to;
        self.added = self.added.map(|added| added.saturating_add(entries as u64));
    }

    /// Goes to where the stream ends, no entry being in between.
    pub(super) fn skip_to(&mut self, end: EntryId) {
        self.at = end;
        self.cautious = true;
    }
}

/// The count of added entries at `at`, behind which `read` entries are all there are if that is
/// known. It counts from what is left now: what was deleted in between is not told as missing.
fn added_at(at: EntryId, read: Option<u64>, facts: &Facts) -> Option<u64> {
    let all_behind = facts.first.is_none_or(|first| first > at);
    let behind = read.or(all_behind.then_some(facts.length))?;
    facts.added.checked_sub(behind)
}
