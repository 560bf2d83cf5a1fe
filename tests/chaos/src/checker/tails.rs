//! Tails: every entry once and in order, or a gap.

use std::collections::{BTreeSet, HashMap};

use super::{KnownAdds, ViolationKind, Violations};
use streamgate_protocol::EntryId;

use crate::journal::{EntryTag, History, TailJournal, TailRecord};

/// Ids that a tail does not read: a reported gap, or skipped on purpose.
struct Gap {
    after: EntryId,
    first: Option<EntryId>,
    position: EntryId,
}

pub(super) fn tail(
    journal: &TailJournal,
    history: &History,
    known: &KnownAdds<'_>,
    violations: &mut Violations,
) {
    let stream = &history.streams[journal.stream];
    let who = format!("{} of {}", journal.name, stream.name);
    let entries = &known.entries[journal.stream];
    let mut seen = BTreeSet::new();
    let mut texts: HashMap<EntryTag, EntryId> = HashMap::new();
    let mut gaps = Vec::new();
    let mut last = EntryId::default();
    for record in &journal.records {
        match record {
            TailRecord::Opened(after) => {
                if *after < last {
                    let what = format!("{who} resumes after {after}, although it was at {last}");
                    violations.add(ViolationKind::Wrong, what);
                }
            }
            &TailRecord::Entry(id, text) => {
                let twice =
                    violations.once(&mut seen, id, || format!("{who} saw {text}, {id}, twice"));
                if !twice && id <= last {
                    let what = format!("{who} saw {text}, {id}, after {last}");
                    violations.add(ViolationKind::OutOfOrder, what);
                }
                last = last.max(id);
                // The check of the stream reports entries that are stored twice.
                let is_there = |id| entries.get(id) == Some(&text);
                if let Some(other) = texts.insert(text, id)
                    && other != id
                    && !(is_there(&other) && is_there(&id))
                {
                    let what = format!("{who} saw {text} as {other} and as {id}");
                    violations.add(ViolationKind::Duplicated, what);
                }
                check_entry(&who, (id, text), journal.stream, known, violations);
            }
            &TailRecord::TooLarge(id) => {
                let twice =
                    violations.once(&mut seen, id, || format!("{who} was told of {id} twice"));
                if !twice && id <= last {
                    let what = format!("{who} was told of {id}, too large, after {last}");
                    violations.add(ViolationKind::OutOfOrder, what);
                }
                last = last.max(id);
                if !entries.contains_key(&id) && !known.may_be_trimmed(journal.stream, id) {
                    let what = format!("{who} was told of {id}, which is not in the stream");
                    violations.add(ViolationKind::Wrong, what);
                } else if entries.contains_key(&id)
                    && known.fits_id(journal.stream, id, journal.frame_bytes)
                {
                    let what = format!("{who} was told that {id} is too large, which fits");
                    violations.add(ViolationKind::Wrong, what);
                }
            }
            &TailRecord::Skipped(to) => {
                gaps.push(Gap {
                    after: last,
                    first: None,
                    position: to,
                });
                last = last.max(to);
            }
            TailRecord::Gap { recreated, .. } if *recreated || !stream.is_trimmed => {
                let what = format!("{who} got a gap after {last}, but none is there");
                violations.add(ViolationKind::Wrong, what);
            }
            &TailRecord::Gap {
                after,
                first,
                position,
                ..
            } => gaps.push(Gap {
                after,
                first,
                position,
            }),
            TailRecord::Ended(code) => {
                violations.ended(&who, code, journal.subscribes, &journal.last_error)
            }
        }
    }
    for (id, text) in entries {
        if !seen.contains(id) && !gaps.iter().any(|gap| gap.covers(*id)) {
            let what = format!("{who} never saw {text}, {id}, and got no gap there");
            violations.add(ViolationKind::Lost, what);
        }
    }
}

/// An entry that a tail saw is in the stream, or was.
fn check_entry(
    who: &str,
    (id, text): (EntryId, EntryTag),
    stream: usize,
    known: &KnownAdds<'_>,
    violations: &mut Violations,
) {
    let is_there = match known.entries[stream].get(&id) {
        Some(there) => *there == text,
        // An add with an unknown outcome, which was stored and trimmed since.
        None => known.may_be_trimmed(stream, id) && known.adds.contains_key(&text),
    };
    if !is_there {
        let what = format!("{who} saw {text}, {id}, which is not in the stream");
        violations.add(ViolationKind::Wrong, what);
    }
}

impl Gap {
    fn covers(&self, id: EntryId) -> bool {
        let before_end = match self.first {
            Some(first) => id < first,
            None => id <= self.position,
        };
        self.after < id && before_end
    }
}
