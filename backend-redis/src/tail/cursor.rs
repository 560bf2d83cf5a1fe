//! Where a tail stands, and what it knows of the stream there.

use streamgate_protocol::{CacheResult, StreamEntry};

use crate::tail::range::{InfoReply, RangeReply, RangeRequest, entry_id, seen};
use streamgate_backend::tail::gap::{Discontinuity, StreamInfo, detect};
use streamgate_protocol::EntryId;

/// Where a tail stands: behind an entry, which may be gone meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TailCursor {
    pub(crate) at: EntryId,
    count: Option<Count>,
    /// The entry was missing when it was last looked for, or the count is, so that a read that
    /// does not check is not enough.
    cautious: bool,
}

/// The stream's count of added entries when nothing was left behind `end`, or less. It says
/// nothing before that place.
#[derive(Debug, Clone, Copy)]
struct Count {
    end: EntryId,
    added: u64,
}

/// What a read gives a tail.
#[derive(Debug)]
pub(crate) struct CheckedPage {
    /// What is missing before the entries.
    pub(crate) gap: Option<Discontinuity>,
    /// None in spite of [`at_end`](Self::at_end) being false: another read is needed.
    pub(crate) entries: Vec<StreamEntry>,
    /// There was no more.
    pub(crate) at_end: bool,
    /// The last id that the stream gave, if that was asked.
    pub(crate) last_generated: Option<EntryId>,
}

impl TailCursor {
    pub(crate) fn new(at: EntryId, added: Option<u64>) -> Self {
        Self {
            at,
            count: added.map(|added| Count { end: at, added }),
            // No entry has that id.
            cautious: at == EntryId::ZERO,
        }
    }

    /// Behind an id that somebody named, of which nothing is known.
    pub(crate) fn after(at: EntryId) -> Self {
        Self {
            cautious: true,
            ..Self::new(at, None)
        }
    }

    /// The read from there.
    pub(crate) fn read(&self, count: u64) -> RangeRequest {
        RangeRequest {
            at: self.at,
            count,
            checked: self.cautious,
        }
    }

    /// The first read of a tail that begins with what is there behind an id.
    pub(crate) fn first_read(after: EntryId, count: u64) -> RangeRequest {
        RangeRequest {
            at: after,
            count,
            checked: true,
        }
    }

    /// Stands before what [`first_read`](Self::first_read) found: nothing is missing before that.
    /// None if it has to begin with the oldest entry there is, the stream being another one.
    pub(crate) fn begin(
        after: EntryId,
        range: RangeReply,
    ) -> CacheResult<Option<(Self, CheckedPage)>> {
        let facts = match range.known {
            InfoReply::Info(facts) => Some(facts),
            InfoReply::NotRequested | InfoReply::NoStream => None,
        };
        if facts.is_some_and(|facts| facts.last_generated < after) {
            return Ok(None);
        }
        let before_first = match range.entries.first() {
            Some(first) => entry_id(first)?.predecessor(),
            None => facts.map(|facts| facts.last_generated),
        };
        let mut cursor = Self::new(before_first.unwrap_or(EntryId::ZERO), None);
        let at_end = !range.full;
        cursor.learn(facts.as_ref(), at_end.then_some(range.entries.len()));
        let taken = CheckedPage {
            gap: None,
            entries: range.entries,
            at_end,
            last_generated: facts.map(|facts| facts.last_generated),
        };
        Ok(Some((cursor, taken)))
    }

    /// Judges what a read found; none if it takes a check to judge it.
    ///
    /// Afterwards it stands before the entries; [`advance`](Self::advance) goes behind them.
    pub(crate) fn take(&mut self, range: RangeReply) -> Option<CheckedPage> {
        let facts = match range.known {
            InfoReply::NotRequested if range.present => {
                let last = range.entries.last().and_then(|last| entry_id(last).ok());
                // Without a count, trimming the last entry that it saw would seem to be a gap.
                let counted = self.count_at(last.unwrap_or(self.at)).is_some();
                self.cautious |= !range.full && !counted;
                return Some(CheckedPage {
                    gap: None,
                    entries: range.entries,
                    at_end: !range.full && counted,
                    last_generated: None,
                });
            }
            InfoReply::NotRequested => {
                self.cautious = true;
                return None;
            }
            InfoReply::NoStream => None,
            InfoReply::Info(facts) => Some(facts),
        };
        let gap = detect(
            self.at,
            range.present,
            self.count_at(self.at),
            facts.as_ref(),
        );
        self.cautious = !range.present;
        let mut taken = CheckedPage {
            gap,
            entries: range.entries,
            at_end: !range.full,
            last_generated: facts.map(|facts| facts.last_generated),
        };
        if let Some(Discontinuity { position, .. }) = gap {
            // Entries before `at` are left to be read.
            if position < self.at && facts.is_some_and(|facts| facts.length > 0) {
                taken.entries.clear();
                taken.at_end = false;
            }
            *self = Self::after(position);
        }
        let read = taken.at_end.then_some(taken.entries.len());
        self.learn(facts.as_ref(), read);
        Some(taken)
    }

    /// Goes behind the last of these entries, `to` being its id.
    pub(crate) fn advance(&mut self, to: EntryId, entries: &[StreamEntry]) {
        self.at = to;
        if let Some(count) = &mut self.count
            && count.end <= to
        {
            let since = entries.len() - seen(entries, count.end);
            count.added = count.added.saturating_add(since as u64);
            count.end = to;
        }
    }

    /// Goes to where the stream ends, no entry being in between.
    pub(crate) fn skip_to(&mut self, end: EntryId) {
        self.at = end;
        self.cautious = true;
    }

    /// Takes what the stream says of how many were ever added, `read` entries being all that are
    /// there behind `at`, if that is known.
    fn learn(&mut self, facts: Option<&StreamInfo>, read: Option<usize>) {
        let here = match facts {
            None => Some(0),
            Some(facts) => added_at(self.at, read.map(|read| read as u64), facts),
        };
        if let Some(added) = here {
            self.count = Some(Count {
                end: self.at,
                added,
            });
        } else if let Some(facts) = facts {
            // It will stand there, if it does not stand behind a count already.
            self.count.get_or_insert(Count {
                end: facts.last_generated,
                added: facts.added,
            });
        }
    }

    fn count_at(&self, place: EntryId) -> Option<u64> {
        let count = self.count.filter(|count| count.end <= place);
        count.map(|count| count.added)
    }
}

/// The count of added entries at `at`, behind which `read` entries are all there are if that is
/// known. It counts from what is left now: what was deleted in between is not told as missing.
fn added_at(at: EntryId, read: Option<u64>, facts: &StreamInfo) -> Option<u64> {
    let all_behind = facts.first.is_none_or(|first| first > at);
    let behind = read.or(all_behind.then_some(facts.length))?;
    facts.added.checked_sub(behind)
}
