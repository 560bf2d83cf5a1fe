//! What must be true of every history, whatever failed meanwhile.
//!
//! A function of data: it reads nothing, waits for nothing and knows of no fault.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use streamgate_protocol::Retry;
use streamgate_protocol::error::retry_of;

pub(crate) use consumer::{Excuse, again};

use crate::journal::{Add, History, Id, Outcome, Text};

mod adds;
mod consumer;
mod group;
mod tails;
#[cfg(test)]
mod tests;

/// In which way a promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Broken {
    /// What was promised is missing.
    Lost,
    /// There is more of it than was promised.
    Doubled,
    /// It is there, and not in its order.
    Disordered,
    /// It should not be there, or not like this.
    Untrue,
    /// Somebody was stopped for good, or waited for ever.
    Stuck,
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objection {
    pub(crate) broken: Broken,
    /// Names the entry, and whose journal it is.
    pub(crate) what: String,
}

/// Everything in the history that breaks a promise.
pub(crate) fn check(history: &History) -> Vec<Objection> {
    let mut objections = Objections::default();
    let known = Known::new(history);
    for (place, stream) in history.streams.iter().enumerate() {
        adds::content(place, stream, &known, &mut objections);
        group::group(
            place,
            stream,
            &history.consumers,
            &history.watch,
            &mut objections,
        );
    }
    for writer in &history.writers {
        adds::writer(writer, history, &known, &mut objections);
    }
    for tail in &history.tails {
        tails::tail(tail, history, &known, &mut objections);
    }
    for consumer in &history.consumers {
        consumer::consumer(consumer, &history.watch, &mut objections);
    }
    objections.0
}

#[derive(Default)]
struct Objections(Vec<Objection>);

/// What the journals and the streams know of each add.
struct Known<'h> {
    adds: HashMap<Text, (usize, &'h Add)>,
    /// The entries of each stream, and those of which a writer was told.
    entries: Vec<BTreeMap<Id, Text>>,
    /// The oldest entry of each stream that is left, if its writers trim it.
    oldest: Vec<Option<Id>>,
}

impl<'h> Known<'h> {
    fn new(history: &'h History) -> Self {
        let mut adds = HashMap::new();
        let mut entries: Vec<BTreeMap<_, _>> = history
            .streams
            .iter()
            .map(|stream| stream.entries.iter().copied().collect())
            .collect();
        for writer in &history.writers {
            for add in &writer.adds {
                let text = Text {
                    writer: writer.writer,
                    number: add.number,
                };
                adds.insert(text, (writer.stream, add));
                if let Outcome::Done(id) = add.outcome {
                    entries[writer.stream].entry(id).or_insert(text);
                }
            }
        }
        let oldest = history.streams.iter().map(|stream| {
            let first = stream.entries.first().map(|(id, _)| *id);
            stream.is_trimmed.then_some(first.unwrap_or(Id {
                ms: u64::MAX,
                seq: u64::MAX,
            }))
        });
        Self {
            adds,
            entries,
            oldest: oldest.collect(),
        }
    }

    /// Whether an entry of this id may be gone from its stream.
    fn may_be_gone(&self, stream: usize, id: Id) -> bool {
        self.oldest[stream].is_some_and(|oldest| id < oldest)
    }
}

impl Objections {
    fn add(&mut self, broken: Broken, what: String) {
        self.0.push(Objection { broken, what });
    }

    /// Objects to a code that says that the same call would never succeed: no fault of these runs
    /// is of that kind.
    fn stopped(&mut self, who: &str, code: &str) {
        if retry_of(code) == Retry::Never {
            self.add(Broken::Stuck, format!("{who} was stopped for good: {code}"));
        }
    }

    /// The same of a read; and of a subscription to any end, for it goes on whatever is lost.
    fn ended(&mut self, who: &str, code: &str, subscribes: bool) {
        if subscribes {
            self.add(Broken::Stuck, format!("{who} was ended: {code}"));
        } else {
            self.stopped(who, code);
        }
    }

    /// Objects to what comes twice, and returns whether it did.
    fn once(&mut self, seen: &mut BTreeSet<Id>, id: Id, what: impl FnOnce() -> String) -> bool {
        let is_new = seen.insert(id);
        if !is_new {
            self.add(Broken::Doubled, what());
        }
        !is_new
    }
}
