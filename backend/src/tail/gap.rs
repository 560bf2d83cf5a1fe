//! Gap detection: whether a tail continues at its position, or entries are missing there.
//!
//! If entries were trimmed before a tail could read them, it reports a gap; plain `XREAD` skips
//! them silently. A tail checks only when the entry at its position is missing. It then decides
//! from what the stream reports about itself ([`StreamInfo`]), and from the ids that it has read
//! ([`ReadIds`]).
//!
//! # Trimmed, or only deleted
//!
//! While a stream lives, its ids only grow, and trimming removes the oldest entries first.
//! `entries-added` counts all entries ever added, which tells one entry that was deleted from many
//! that were trimmed. So a tail reports a gap only if entries after its position may be missing:
//!
//! - Older entries are left: the entry at the position was deleted, and nothing was trimmed.
//! - The entries left are all that were added since: nothing is missing.
//! - The one entry that was ever removed is the one at the position (`max-deleted-entry-id`):
//!   nothing is missing.
//!
//! # Rolled back, or recreated
//!
//! A stream whose last generated id is before the position, or that has counted fewer entries up
//! to the position than before, has lost entries that the tail has read. Either a replica that
//! lacked its newest entries became the master (*rolled back*), or the stream was deleted and
//! created again (*recreated*). The first of these rules that applies decides:
//!
//! 1. The stream has an entry that the tail has read: it was rolled back.
//! 2. The last generated id is before the position, and an entry that the tail has read is missing
//!    between the stream's first entry and its last: it was recreated.
//! 3. The last generated id is before the first entry that the old stream ever had, or its oldest
//!    entry is after the position: it was recreated.
//! 4. The position and the last generated id are both times of a clock: it was rolled back,
//!    because ids that a clock generates never go back by themselves.
//! 5. Else it was recreated.
//!
//! The count of entries up to the position is known only from a read to the end of the stream. So
//! a tail that finds more than a page after a rollback reports it as late as there.
//!
//! After a rollback the tail goes on from the position or from the last generated id, whichever is
//! smaller. It replays nothing. A recreated stream is read from its first entry.
//!
//! # What cannot be decided
//!
//! - A stream that is deleted and written again with the same explicit ids looks like the old one,
//!   unless a tail reads it in between. If the ids end earlier, it looks rolled back.
//! - A stream that is recreated by a server whose clock is behind looks rolled back, if a tail that
//!   resumes by its position alone is the first to see it.
//! - A new master whose clock is behind by more than the failover took may add entries whose ids
//!   are before the tail's position. The tail does not tell them from those it has read.
//! - Redis 8.2 can trim entries from the middle of a stream (`ACKED`), which is no gap to a tail.
//! - A stream that is rolled back to before its first entry looks deleted.

use streamgate_protocol::{EntryId, Gap, GapReason};

mod read_ids;

pub use self::read_ids::ReadIds;

/// Ids from this time in ms on (September 2001) are times of a clock, and not numbers that a
/// program chose.
const FIRST_CLOCK_MS: u64 = 1_000_000_000_000;

/// What a stream reports about itself, all at the same moment: a part of `XINFO STREAM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The oldest entry left, if any.
    pub first: Option<EntryId>,
    /// The last id that the stream generated, whether that entry is left or not.
    pub last_generated: EntryId,
    /// The number of entries left.
    pub length: u64,
    /// The number of entries ever added.
    pub added: u64,
    /// The greatest id of an entry that was deleted by itself, not trimmed. `0-0` if none was.
    pub max_deleted: EntryId,
}

/// A place in a stream where entries are, or may be, missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discontinuity {
    /// The first entry after it, if there is one yet.
    pub first: Option<EntryId>,
    /// Why entries are missing.
    pub reason: GapReason,
    /// The position from which the tail continues. Nothing is missing there.
    pub position: EntryId,
}

/// What a tail knows when it checks its position.
#[derive(Debug, Clone, Copy)]
pub struct TailFacts<'a> {
    /// The tail's position.
    pub position: EntryId,
    /// Whether the entry at the position is in the stream.
    pub is_present: bool,
    /// The entries after the position that the same read found: their number, and the first id.
    pub found_after: (u64, Option<EntryId>),
    /// The stream's [`added`](StreamInfo::added) at a moment when it had no entry after the
    /// position, or a lower bound of that, if known.
    pub added: Option<u64>,
    /// The ids that the tail has read.
    pub read_ids: &'a ReadIds,
    /// The ids that [`Detection::LookUp`] asked for, and whether the stream has them. `None` if
    /// they were not looked up.
    pub looked_up: Option<&'a [(EntryId, bool)]>,
}

/// What a check of a tail's position finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detection {
    /// Nothing is missing after the position.
    Contiguous,
    /// Entries are, or may be, missing.
    Gap(Discontinuity),
    /// The stream has lost entries that the tail has read. Look up which of these ids it still
    /// has, and check again.
    LookUp(Vec<EntryId>),
}

impl StreamInfo {
    /// Returns what a stream reports: its oldest entry left, the last id it generated, its number
    /// of entries, and its count of entries ever added.
    pub fn new(first: Option<EntryId>, last_generated: EntryId, length: u64, added: u64) -> Self {
        Self {
            first,
            last_generated,
            length,
            added,
            max_deleted: EntryId::ZERO,
        }
    }

    /// Sets the [greatest id of a deleted entry](Self::max_deleted).
    #[must_use]
    pub fn max_deleted(mut self, max_deleted: EntryId) -> Self {
        self.max_deleted = max_deleted;
        self
    }
}

impl Discontinuity {
    /// Returns a discontinuity after which the tail continues with the entry `first`, or, if no
    /// entry is left, after `last_generated`.
    pub fn new(first: Option<EntryId>, last_generated: EntryId, reason: GapReason) -> Self {
        // The first entry is the next id after its predecessor, and no entry can be missing after
        // the last generated id. So the next check at either position finds no gap.
        let before_first = first.and_then(EntryId::predecessor);
        Self {
            first,
            reason,
            position: before_first.unwrap_or(last_generated),
        }
    }

    /// Returns the gap to report to a tail whose position was `after`.
    pub fn gap(&self, after: EntryId) -> Gap {
        Gap::new(after, self.position)
            .first(self.first.map(String::from))
            .reason(self.reason)
    }
}

/// Detects whether entries are missing after a tail's position.
///
/// `info` is what the stream reports now; `None` if it does not exist.
pub fn detect(tail: TailFacts<'_>, info: Option<&StreamInfo>) -> Detection {
    let position = tail.position;
    let Some(info) = info else {
        return match position {
            EntryId::ZERO => Detection::Contiguous,
            _ => Detection::Gap(Discontinuity::new(
                None,
                EntryId::ZERO,
                GapReason::Recreated,
            )),
        };
    };
    if has_lost_read_entries(tail, info) {
        return lost_entries(tail, info);
    }
    if tail.is_present {
        return Detection::Contiguous;
    }
    match may_miss_entries(tail, info) {
        true => Detection::Gap(Discontinuity::new(
            info.first,
            info.last_generated,
            GapReason::Trimmed,
        )),
        false => Detection::Contiguous,
    }
}

/// Returns whether the stream lacks entries up to the position that it has counted before.
fn has_lost_read_entries(tail: TailFacts<'_>, info: &StreamInfo) -> bool {
    let all_are_after = info.first.is_none_or(|first| first > tail.position);
    let after = if all_are_after {
        info.length
    } else {
        tail.found_after.0
    };
    let counted = info.added.saturating_sub(after);
    info.last_generated < tail.position || tail.added.is_some_and(|known| counted < known)
}

/// Decides between a rollback and another stream.
fn lost_entries(tail: TailFacts<'_>, info: &StreamInfo) -> Detection {
    let candidates = match tail.is_present {
        true => Vec::new(),
        false => tail.read_ids.within(info, tail.position),
    };
    let Some(looked_up) = tail.looked_up.or(candidates.is_empty().then_some(&[])) else {
        return Detection::LookUp(candidates);
    };
    let is_behind = info.last_generated < tail.position;
    let starts_after = info.first.is_some_and(|first| match is_behind {
        true => false,
        false => first > tail.position,
    });
    let is_other = (is_behind && !looked_up.is_empty())
        || starts_after
        || tail.read_ids.first_ever() > Some(info.last_generated);
    let is_of_clock = |id: EntryId| id.ms >= FIRST_CLOCK_MS;
    let is_rolled_back = tail.is_present
        || looked_up.iter().any(|(_, is_there)| *is_there)
        || !is_other && is_of_clock(tail.position) && is_of_clock(info.last_generated);
    Detection::Gap(match is_rolled_back {
        true => Discontinuity {
            first: tail.found_after.1.filter(|_| !is_behind),
            reason: GapReason::RolledBack,
            position: tail.position.min(info.last_generated),
        },
        false => Discontinuity::new(info.first, info.last_generated, GapReason::Recreated),
    })
}

/// Returns whether entries after the position may have been removed.
fn may_miss_entries(tail: TailFacts<'_>, info: &StreamInfo) -> bool {
    let position = tail.position;
    // Older entries are left, so the entry at the position was deleted, not trimmed.
    if info.first.is_some_and(|first| first < position) {
        return false;
    }
    // From here on, every entry left is after the position. Nothing is missing if these are all
    // that were added since.
    let known = tail.added.or((position == EntryId::ZERO).then_some(0));
    let since = known.and_then(|known| info.added.checked_sub(known));
    let is_deleted = position > EntryId::ZERO && info.max_deleted == position;
    let only_removed = is_deleted && info.added == info.length + 1;
    let nothing_missing = since == Some(info.length)
        || only_removed
        || info.last_generated == position
        || (info.first.is_some() && info.first == position.successor());
    !nothing_missing
}

#[cfg(test)]
mod tests;
