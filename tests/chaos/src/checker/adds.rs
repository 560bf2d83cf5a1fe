//! Adds: stored exactly once, at most once, or not at all, as their writers were told.

use std::collections::HashMap;

use super::{KnownAdds, ViolationKind, Violations};
use streamgate_protocol::EntryId;

use crate::journal::{EntryTag, History, Outcome, StreamContents, WriterJournal};

/// How an error says that the server does not remember an add.
const FORGOTTEN: [&str; 2] = [
    "is not remembered; it may have been stored",
    "the server no longer knows whether it stored the add",
];

/// Whether an add has an unknown outcome because the server does not remember it.
pub(crate) fn is_forgotten(why: &str) -> bool {
    FORGOTTEN.iter().any(|end| why.ends_with(end))
}

/// Every entry was stored once, for an add of this stream that was not refused.
pub(super) fn content(
    index: usize,
    stream: &StreamContents,
    known: &KnownAdds<'_>,
    violations: &mut Violations,
) {
    let name = &stream.name;
    for unexpected in &stream.unexpected {
        let what = format!("{name} holds an entry that nobody sent: {unexpected}");
        violations.add(ViolationKind::Wrong, what);
    }
    let mut ids: HashMap<EntryTag, EntryId> = HashMap::new();
    let mut latest: HashMap<u32, (EntryId, EntryTag, bool)> = HashMap::new();
    for &(id, text) in &stream.entries {
        if let Some(first) = ids.insert(text, id) {
            let what = format!("{name} holds {text} twice, as {first} and as {id}");
            violations.add(ViolationKind::Duplicated, what);
            continue;
        }
        let Some((of, add)) = known.adds.get(&text) else {
            let what = format!("{name} holds {text} as {id}, which nobody added");
            violations.add(ViolationKind::Wrong, what);
            continue;
        };
        if *of != index {
            let what = format!("{name} holds {text} as {id}, which was added to another stream");
            violations.add(ViolationKind::Wrong, what);
        }
        if let Outcome::Refused(code) = &add.outcome {
            let what = format!("{name} holds {text} as {id}, although its add failed with {code}");
            violations.add(ViolationKind::Wrong, what);
            continue;
        }
        // The check of the journal covers two adds that both have a known id.
        let is_known = matches!(add.outcome, Outcome::Done(_));
        let before = latest.insert(text.writer, (id, text, is_known));
        if let Some((before, earlier, was_known)) = before
            && earlier.number > text.number
            && !(is_known && was_known)
        {
            let what = format!("{name} holds {text} as {id}, after {earlier}, {before}");
            violations.add(ViolationKind::OutOfOrder, what);
        }
    }
}

/// The outcomes of a writer's adds are true, its adds are in order, and it is not stuck.
pub(super) fn writer(
    journal: &WriterJournal,
    history: &History,
    known: &KnownAdds<'_>,
    violations: &mut Violations,
) {
    let stream = &history.streams[journal.stream];
    let name = &stream.name;
    let stored: HashMap<EntryId, EntryTag> = stream.entries.iter().copied().collect();
    let mut before: Option<(EntryId, EntryTag)> = None;
    for add in &journal.adds {
        let text = EntryTag {
            writer: journal.writer,
            number: add.number,
        };
        match &add.outcome {
            Outcome::Done(id) => {
                if stored.get(id) != Some(&text) && !known.may_be_trimmed(journal.stream, *id) {
                    let started = add.started;
                    let what = format!(
                        "{name} does not hold {text}, acknowledged as {id}, sent at {started} ms"
                    );
                    violations.add(ViolationKind::Lost, what);
                }
                if let Some((last, earlier)) = before.filter(|(last, _)| last >= id) {
                    let what = format!(
                        "{text} of {name} is {id}, and {earlier}, sent before it, is {last}"
                    );
                    violations.add(ViolationKind::OutOfOrder, what);
                }
                before = Some((*id, text));
            }
            Outcome::Unknown(why) if history.may_evict && is_forgotten(why) => {}
            // The client must retry an add for this long.
            Outcome::Unknown(why) if add.ended - add.started < journal.retry_timeout => {
                let (took, retry_timeout) = (add.ended - add.started, journal.retry_timeout);
                let what = format!(
                    "the add of {text}, sent at {} ms, was given up after {took} ms instead of {retry_timeout} ms: {why}",
                    add.started
                );
                violations.add(ViolationKind::Wrong, what);
            }
            Outcome::Unknown(_) => {}
            Outcome::Refused(code) => violations.stopped(&format!("the add of {text}"), code),
            Outcome::Hung => {
                let what = format!("the add of {text}, sent at {} ms, never ended", add.started);
                violations.add(ViolationKind::Stuck, what);
            }
        }
    }
    let last = journal.adds.last();
    if !last.is_some_and(|add| matches!(add.outcome, Outcome::Done(_))) {
        let writer = journal.writer;
        let what = format!("writer {writer} of {name} has no successful add after all faults");
        violations.add(ViolationKind::Stuck, what);
    }
}
