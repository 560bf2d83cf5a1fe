//! Tails: every entry once and in order, or a gap.

use std::collections::{BTreeSet, HashMap};

use super::{Broken, Known, Objections};
use crate::journal::{History, Id, Seen, TailJournal, Text};

/// Ids that a tail was told it cannot be given, or that it did not want.
struct Gap {
    after: Id,
    first: Option<Id>,
    position: Id,
}

pub(super) fn tail(
    journal: &TailJournal,
    history: &History,
    known: &Known<'_>,
    objections: &mut Objections,
) {
    let stream = &history.streams[journal.stream];
    let who = format!("{} of {}", journal.name, stream.name);
    let entries = &known.entries[journal.stream];
    let mut seen = BTreeSet::new();
    let mut texts: HashMap<Text, Id> = HashMap::new();
    let mut gaps = Vec::new();
    let mut last = Id::default();
    for seen_now in &journal.seen {
        match seen_now {
            Seen::Opened(after) => {
                if *after < last {
                    let what = format!("{who} goes on behind {after}, though it was at {last}");
                    objections.add(Broken::Untrue, what);
                }
            }
            &Seen::Entry(id, text) => {
                let twice =
                    objections.once(&mut seen, id, || format!("{who} saw {text}, {id}, twice"));
                if !twice && id <= last {
                    let what = format!("{who} saw {text}, {id}, behind {last}");
                    objections.add(Broken::Disordered, what);
                }
                last = last.max(id);
                // What is twice in the stream is objected to there.
                let is_there = |id| entries.get(id) == Some(&text);
                if let Some(other) = texts.insert(text, id)
                    && other != id
                    && !(is_there(&other) && is_there(&id))
                {
                    let what = format!("{who} saw {text} as {other} and as {id}");
                    objections.add(Broken::Doubled, what);
                }
                is_true(&who, (id, text), journal.stream, known, objections);
            }
            &Seen::Skipped(to) => {
                gaps.push(Gap {
                    after: last,
                    first: None,
                    position: to,
                });
                last = last.max(to);
            }
            Seen::Gap { recreated, .. } if *recreated || !stream.is_trimmed => {
                let what = format!("{who} was told of a gap behind {last}, and there is none");
                objections.add(Broken::Untrue, what);
            }
            &Seen::Gap {
                after,
                first,
                position,
                ..
            } => gaps.push(Gap {
                after,
                first,
                position,
            }),
            Seen::Ended(code) => objections.ended(&who, code, journal.subscribes),
        }
    }
    for (id, text) in entries {
        if !seen.contains(id) && !gaps.iter().any(|gap| gap.covers(*id)) {
            let what = format!("{who} never saw {text}, {id}, and was told of no gap there");
            objections.add(Broken::Lost, what);
        }
    }
}

/// What a tail saw is what is there, or was.
fn is_true(
    who: &str,
    (id, text): (Id, Text),
    stream: usize,
    known: &Known<'_>,
    objections: &mut Objections,
) {
    let is_there = match known.entries[stream].get(&id) {
        Some(there) => *there == text,
        // An add whose writer does not know whether it was done, and that was trimmed since.
        None => known.may_be_gone(stream, id) && known.adds.contains_key(&text),
    };
    if !is_there {
        let what = format!("{who} saw {text}, {id}, which is not in the stream");
        objections.add(Broken::Untrue, what);
    }
}

impl Gap {
    fn covers(&self, id: Id) -> bool {
        let before_end = match self.first {
            Some(first) => id < first,
            None => id <= self.position,
        };
        self.after < id && before_end
    }
}
