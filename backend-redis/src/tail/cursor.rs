//! The position of a tail in a stream, and the detection of gaps there.
//!
//! A cursor is after an entry. As long as every read finds that entry, no entry is missing after
//! it. Only if the entry is gone is a gap possible, and then the cursor asks for the stream's info
//! ([`StreamInfo`]) and compares it with what it knows ([`detect`]). A cursor therefore remembers
//! how many entries the stream had counted (`entries-added`) when it was at the end: that tells
//! one deleted entry from many trimmed ones.
//!
//! It also remembers some of the ids that it has read ([`ReadIds`]). If the stream has lost entries
//! that the cursor has read, the next read looks these ids up: they tell a stream that a failover
//! rolled back from another one.

use streamgate_backend::tail::gap::{
    Detection, Discontinuity, ReadIds, StreamInfo, TailFacts, detect,
};
use streamgate_protocol::{CacheResult, Entry, EntryId, GapReason};

use crate::tail::range::{InfoReply, RangeReply, RangeRequest, count_up_to, entry_id};

/// A position in a stream: after an entry, which may have been deleted since.
#[derive(Debug, Clone)]
pub(crate) struct TailCursor {
    pub(crate) position: EntryId,
    added: Option<AddedCount>,
    /// Whether the next read needs the stream's info: the entry at the position was missing when
    /// it was last read, or the count of added entries is unknown.
    needs_info: bool,
    /// Whether the stream's info is needed until the end of the stream, because only there it shows
    /// whether entries were lost that were read before.
    needs_info_to_end: bool,
    read_ids: ReadIds,
    /// The ids that the next read has to look up.
    look_up: Vec<EntryId>,
}

/// The stream's `entries-added` when it had no entries after `position`, or a lower number. It says
/// nothing about positions before that one.
#[derive(Debug, Clone, Copy)]
struct AddedCount {
    position: EntryId,
    entries: u64,
}

/// Entries after a cursor, and the gap before them if there is one.
#[derive(Debug)]
pub(crate) struct CheckedPage {
    pub(crate) gap: Option<Discontinuity>,
    /// Oldest first. If empty while `at_end` is false, another read is needed.
    pub(crate) entries: Vec<Entry>,
    /// Whether the stream has no entries after these.
    pub(crate) at_end: bool,
    /// The last id that the stream generated, if the read included the stream's info.
    pub(crate) last_generated: Option<EntryId>,
}

impl TailCursor {
    /// Creates a cursor at the end of a stream that has counted `added` entries, if that is known.
    pub(crate) fn new(position: EntryId, added: Option<u64>) -> Self {
        Self {
            position,
            added: added.map(|entries| AddedCount { position, entries }),
            // No entry has the id 0-0, so a read never finds it.
            needs_info: position == EntryId::ZERO,
            needs_info_to_end: false,
            read_ids: ReadIds::default(),
            look_up: Vec::new(),
        }
    }

    /// Creates a cursor at the end of a stream.
    pub(crate) fn at_end_of(info: &StreamInfo) -> Self {
        let mut cursor = Self::new(info.last_generated, Some(info.added));
        cursor.read_ids.record(info.last_generated);
        cursor.read_ids.record_info(info);
        cursor
    }

    /// Creates a cursor after an id that a caller named. The stream may never have had that id.
    pub(crate) fn after(position: EntryId) -> Self {
        Self {
            needs_info: true,
            ..Self::new(position, None)
        }
    }

    /// Returns the read of up to `count` entries after the cursor.
    pub(crate) fn request(&self, count: u64) -> RangeRequest {
        RangeRequest {
            position: self.position,
            count,
            with_info: self.needs_info,
            look_up: self.look_up.clone(),
            bound: None,
            info_is_refused: false,
        }
    }

    /// Returns the first read of a tail that starts with the entries after an id.
    pub(crate) fn first_request(after: EntryId, count: u64) -> RangeRequest {
        RangeRequest {
            position: after,
            count,
            with_info: true,
            look_up: Vec::new(),
            bound: None,
            info_is_refused: false,
        }
    }

    /// Creates a cursor before the entries that a [`first_request`](Self::first_request) found,
    /// without looking for a gap before them.
    ///
    /// Returns `None` if the stream was created again, with ids up to one before `after`. Then the
    /// tail has to start with the oldest entry.
    pub(crate) fn start(
        after: EntryId,
        range: RangeReply,
    ) -> CacheResult<Option<(Self, CheckedPage)>> {
        let info = match range.info {
            InfoReply::Info(info) => Some(info),
            InfoReply::NotRequested | InfoReply::NoStream | InfoReply::Ends(..) => None,
        };
        let is_unknown = matches!(range.info, InfoReply::Ends(..));
        let last_generated = info.map(|info| info.last_generated);
        if last_generated.is_some_and(|last| last < after) {
            return Ok(None);
        }
        let before_first = match range.entries.first() {
            Some(first) => entry_id(first)?.predecessor(),
            None if is_unknown => Some(after),
            None => last_generated,
        };
        let mut cursor = Self::new(before_first.unwrap_or(EntryId::ZERO), None);
        let at_end = !range.is_full;
        cursor.learn_added(info.as_ref(), at_end.then_some(range.entries.len()));
        let page = CheckedPage {
            gap: None,
            entries: range.entries,
            at_end,
            last_generated,
        };
        Ok(Some((cursor, page)))
    }

    /// Checks whether entries are missing between the cursor and those that a read found. Returns
    /// `None` if that needs more, which the next [`request`](Self::request) includes: the stream's
    /// info, or ids to look up.
    ///
    /// If there is a gap, the cursor moves to the position after it. It stays before the page's
    /// entries; [`advance`](Self::advance) moves it past them.
    pub(crate) fn check(&mut self, range: RangeReply) -> Option<CheckedPage> {
        let info = match range.info {
            InfoReply::NotRequested if range.position_exists => {
                return Some(self.take_contiguous(range));
            }
            InfoReply::NotRequested => {
                self.needs_info = true;
                return None;
            }
            InfoReply::Ends(first, _) => return Some(self.check_by_first(range, first)),
            InfoReply::NoStream => None,
            InfoReply::Info(info) => Some(info),
        };
        let looked_up = !self.look_up.is_empty() && !range.looked_up.is_empty();
        let first = range.entries.first().and_then(|first| entry_id(first).ok());
        let facts = TailFacts {
            position: self.position,
            is_present: range.position_exists,
            found_after: (range.entries.len() as u64, first),
            added: self.added_at(self.position),
            read_ids: &self.read_ids,
            looked_up: looked_up.then_some(&*range.looked_up),
        };
        let gap = match detect(facts, info.as_ref()) {
            Detection::Contiguous => None,
            Detection::Gap(gap) => Some(gap),
            Detection::LookUp(ids) => {
                (self.needs_info, self.look_up) = (true, ids);
                return None;
            }
        };
        self.look_up.clear();
        self.needs_info_to_end |= !range.position_exists && facts.added.is_some();
        self.needs_info_to_end &= range.is_full && gap.is_none();
        self.needs_info = !range.position_exists || self.needs_info_to_end;
        if range.position_exists && self.read_ids.is_empty() {
            self.read_ids.record(self.position);
        }
        let mut page = CheckedPage {
            gap,
            entries: range.entries,
            at_end: !range.is_full,
            last_generated: info.map(|info| info.last_generated),
        };
        if let Some(gap) = gap {
            // The tail continues at a smaller id, and this page began after it.
            if gap.position < self.position && info.is_some_and(|info| info.length > 0) {
                page.entries.clear();
                page.at_end = false;
            }
            self.continue_after(gap);
        }
        let entries_after = page.at_end.then_some(page.entries.len());
        self.learn_added(info.as_ref(), entries_after);
        Some(page)
    }

    /// Checks where only the first entry that is left is known: entries are missing if that one and
    /// the entry at the position are not the same, and do not follow each other.
    ///
    /// So an entry that was deleted alone may be taken for a gap, and a stream that lost what the
    /// tail has read is not noticed.
    fn check_by_first(&mut self, range: RangeReply, first: Option<EntryId>) -> CheckedPage {
        let position = self.position;
        let is_gap = |first: &EntryId| {
            let follows = Some(*first) == position.successor();
            position != EntryId::ZERO && *first > position && !follows
        };
        let first = first.filter(|first| !range.position_exists && is_gap(first));
        let gap = first.map(|first| Discontinuity::new(Some(first), first, GapReason::Trimmed));
        if let Some(gap) = gap {
            self.continue_after(gap);
        }
        self.needs_info = !range.position_exists;
        // No entries are counted, but the end of the stream is where the last entry is.
        self.added = Some(AddedCount {
            position: self.position,
            entries: 0,
        });
        CheckedPage {
            gap,
            at_end: !range.is_full,
            entries: range.entries,
            last_generated: None,
        }
    }

    /// Moves to the position after a gap.
    pub(crate) fn continue_after(&mut self, gap: Discontinuity) {
        let mut read_ids = std::mem::take(&mut self.read_ids);
        *self = Self::after(gap.position);
        if gap.reason != GapReason::Recreated {
            read_ids.truncate_after(gap.position);
            self.read_ids = read_ids;
        }
    }

    /// Moves past the last of these entries, whose id is `last`.
    pub(crate) fn advance(&mut self, last: EntryId, entries: &[Entry]) {
        self.position = last;
        self.read_ids.record(last);
        if let Some(added) = &mut self.added
            && added.position <= last
        {
            let newer = entries.len() - count_up_to(entries, added.position);
            added.entries = added.entries.saturating_add(newer as u64);
            added.position = last;
        }
    }

    /// Moves to the end of the stream. No entry may be in between.
    pub(crate) fn skip_to(&mut self, end: EntryId) {
        self.position = end;
        self.needs_info = true;
    }

    /// Takes a reply without info whose first row is the entry at the position.
    fn take_contiguous(&mut self, range: RangeReply) -> CheckedPage {
        let last = range.entries.last().and_then(|last| entry_id(last).ok());
        let knows_added = self.added_at(last.unwrap_or(self.position)).is_some();
        // Without the count, a trim of the last entry that was read would look like a gap. So the
        // tail reads once more, with info, before it is at the end.
        self.needs_info |= !range.is_full && !knows_added;
        CheckedPage {
            gap: None,
            entries: range.entries,
            at_end: !range.is_full && knows_added,
            last_generated: None,
        }
    }

    /// Remembers how many entries the stream has counted. `entries_after` is the number of all
    /// entries after the position, if it is known.
    fn learn_added(&mut self, info: Option<&StreamInfo>, entries_after: Option<usize>) {
        if let Some(info) = info {
            self.read_ids.record_info(info);
        }
        let added_here = match info {
            None => Some(0),
            Some(info) => added_before(
                self.position,
                entries_after.map(|entries| entries as u64),
                info,
            ),
        };
        if let Some(entries) = added_here {
            self.added = Some(AddedCount {
                position: self.position,
                entries,
            });
        } else if let Some(info) = info {
            // Valid as soon as the cursor has reached what is the end of the stream now.
            self.added.get_or_insert(AddedCount {
                position: info.last_generated,
                entries: info.added,
            });
        }
    }

    fn added_at(&self, position: EntryId) -> Option<u64> {
        let added = self.added.filter(|added| added.position <= position);
        added.map(|added| added.entries)
    }
}

/// Returns the count of added entries up to `position`, if it can be derived from the number of
/// entries after it.
///
/// Only entries that still exist are subtracted. So an entry that was deleted after `position`
/// before this moment is never reported as missing.
fn added_before(position: EntryId, entries_after: Option<u64>, info: &StreamInfo) -> Option<u64> {
    let all_are_after = info.first.is_none_or(|first| first > position);
    let after = entries_after.or(all_are_after.then_some(info.length))?;
    info.added.checked_sub(after)
}

#[cfg(test)]
mod tests;
