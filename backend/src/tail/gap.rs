//! Gap detection: whether a tail continues at its position, or entries are missing there.
//!
//! If entries were trimmed before a tail could read them, it reports a gap; plain `XREAD` skips
//! them silently. A tail checks only when the entry at its position is missing. It then decides
//! from what the stream reports about itself ([`StreamInfo`]):
//!
//! - while a stream lives, its ids only grow;
//! - trimming removes the oldest entries first;
//! - `entries-added` counts all entries ever added, which tells one entry that was deleted from
//!   many that were trimmed.
//!
//! One case stays undetected: the stream was deleted and recreated, its ids continue from the old
//! ones, and it has as many more `entries-added` than the old one as it has entries.

use streamgate_protocol::{EntryId, Gap};

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
}

/// A place in a stream where entries are, or may be, missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discontinuity {
    /// The first entry after it, if there is one yet.
    pub first: Option<EntryId>,
    /// Whether the stream was deleted and recreated.
    pub recreated: bool,
    /// The position from which the tail continues. Nothing is missing there.
    pub position: EntryId,
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
        }
    }
}

impl Discontinuity {
    /// Returns a discontinuity after which the tail continues with the entry `first`, or, if no
    /// entry is left, after `last_generated`.
    pub fn new(first: Option<EntryId>, last_generated: EntryId, recreated: bool) -> Self {
        // The first entry is the next id after its predecessor, and no entry can be missing after
        // the last generated id. So the next check at either position finds no gap.
        let before_first = first.and_then(EntryId::predecessor);
        Self {
            first,
            recreated,
            position: before_first.unwrap_or(last_generated),
        }
    }

    /// Returns the gap to report to a tail whose position was `after`.
    pub fn gap(&self, after: EntryId) -> Gap {
        Gap::new(after, self.position)
            .first(self.first.map(String::from))
            .recreated(self.recreated)
    }
}

/// Detects whether entries are missing after `position`.
///
/// - `present`: whether the entry at `position` is in the stream.
/// - `added`: the stream's [`added`](StreamInfo::added) at a moment when it had no entry after
///   `position`, or a lower bound of that, if known.
/// - `info`: what the stream reports now; `None` if it does not exist.
pub fn detect(
    position: EntryId,
    present: bool,
    added: Option<u64>,
    info: Option<&StreamInfo>,
) -> Option<Discontinuity> {
    let Some(info) = info else {
        return (position > EntryId::ZERO).then(|| Discontinuity::new(None, EntryId::ZERO, true));
    };
    let gap = |recreated| {
        Some(Discontinuity::new(
            info.first,
            info.last_generated,
            recreated,
        ))
    };
    if info.last_generated < position {
        return gap(true);
    }
    if present {
        return None;
    }
    if added.is_some_and(|known| info.added < known) {
        return gap(true);
    }
    // Older entries are left, so the entry at the position was deleted, not trimmed.
    if info.first.is_some_and(|first| first < position) {
        return None;
    }
    // From here on, every entry left is after the position. Nothing is missing if these are all
    // that were added since.
    let known = added.or((position == EntryId::ZERO).then_some(0));
    let since = known.and_then(|known| info.added.checked_sub(known));
    let nothing_missing = since == Some(info.length)
        || info.last_generated == position
        || (info.first.is_some() && info.first == position.successor());
    if nothing_missing { None } else { gap(false) }
}

#[cfg(test)]
mod tests;
