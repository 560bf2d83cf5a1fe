//! Whether a tail goes on where it stood, or entries are missing there.
//!
//! Redis passes over what is missing without a word, but some facts about a stream give it away:
//! ids only grow while a stream lives, trimming takes the oldest entries first, and the stream
//! counts what was ever added.

use streamgate_protocol::Gap;

use streamgate_protocol::EntryId;

/// What a stream says of itself, all at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// The oldest entry that is left.
    pub first: Option<EntryId>,
    /// The last id it gave, whether that entry is left or not.
    pub last_generated: EntryId,
    /// Entries that are left.
    pub length: u64,
    /// Entries that were ever added.
    pub added: u64,
}

/// Entries are, or may be, missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discontinuity {
    /// The first entry behind it, if there is one yet.
    pub first: Option<EntryId>,
    /// The stream is another one than before.
    pub recreated: bool,
    /// Where to go on. It is chosen so that nothing seems to be missing there.
    pub position: EntryId,
}

impl Discontinuity {
    /// Goes on with the first entry that is left, or behind the last id if none is.
    pub fn new(first: Option<EntryId>, last_generated: EntryId, recreated: bool) -> Self {
        // Behind its predecessor the first entry is the next id, and nothing comes before the
        // last id generated, so that neither place is a gap when it is judged again.
        let before_first = first.and_then(EntryId::predecessor);
        Self {
            first,
            recreated,
            position: before_first.unwrap_or(last_generated),
        }
    }

    /// The gap of a tail that stood there.
    pub fn gap(&self, after: EntryId) -> Gap {
        Gap {
            after: after.to_string(),
            first: self.first.map(|first| first.to_string()),
            recreated: self.recreated,
            position: self.position.to_string(),
        }
    }
}

/// Judges whether entries are missing behind `at`.
///
/// - `present`: the entry `at` is in the stream;
/// - `added`: the stream's count of added entries when nothing was left behind `at`, or less, if
///   it is known: it tells an entry that was deleted from many that were trimmed;
/// - `facts`: of the stream; none of a missing one.
pub fn detect(
    at: EntryId,
    present: bool,
    added: Option<u64>,
    facts: Option<&StreamInfo>,
) -> Option<Discontinuity> {
    let Some(facts) = facts else {
        return (at > EntryId::ZERO).then(|| Discontinuity::new(None, EntryId::ZERO, true));
    };
    let broken = |recreated| {
        Some(Discontinuity::new(
            facts.first,
            facts.last_generated,
            recreated,
        ))
    };
    if facts.last_generated < at {
        return broken(true);
    }
    if present {
        return None;
    }
    if added.is_some_and(|known| facts.added < known) {
        return broken(true);
    }
    // Older entries are left, so it was not trimmed but deleted by itself.
    if facts.first.is_some_and(|first| first < at) {
        return None;
    }
    // From here on all entries are behind `at`. They are all that were added since?
    let known = added.or((at == EntryId::ZERO).then_some(0));
    let since = known.and_then(|known| facts.added.checked_sub(known));
    let nothing_missing = since == Some(facts.length)
        || facts.last_generated == at
        || (facts.first.is_some() && facts.first == at.successor());
    if nothing_missing { None } else { broken(false) }
}

#[cfg(test)]
mod tests;
