//! The checker: finds violations of the guarantees in a history.
//!
//! It is a function of data: it does no I/O, and knows nothing of the faults.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use streamgate_protocol::Retry;
use streamgate_protocol::error::retry_of;

pub(crate) use adds::is_forgotten;
pub(crate) use consumer::{Excuse, redelivered};

use crate::journal::{Add, EntryTag, History, Outcome};
use crate::scenario::fits;
use streamgate_protocol::EntryId;

mod adds;
mod consumer;
mod deliveries;
mod group;
mod tails;
#[cfg(test)]
mod tests;

/// How a guarantee was violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ViolationKind {
    /// An entry is missing.
    Lost,
    /// An entry was stored or delivered more than once.
    Duplicated,
    /// An entry is out of order.
    OutOfOrder,
    /// An entry or a reply should not exist, or differs from what was sent.
    Wrong,
    /// An actor was stopped for good, or waited for ever.
    Stuck,
}

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: ViolationKind,
    /// Names the entry and the journal.
    pub(crate) what: String,
}

/// Returns all violations in a history.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut violations = Violations::default();
    let known = KnownAdds::new(history);
    for (index, stream) in history.streams.iter().enumerate() {
        adds::content(index, stream, &known, &mut violations);
        group::group(
            index,
            stream,
            &history.consumers,
            &history.pending_history,
            &known,
            &mut violations,
        );
    }
    deliveries::deliveries(history, &known, &mut violations);
    for writer in &history.writers {
        adds::writer(writer, history, &known, &mut violations);
    }
    for tail in &history.tails {
        tails::tail(tail, history, &known, &mut violations);
    }
    for consumer in &history.consumers {
        consumer::consumer(consumer, &history.pending_history, &known, &mut violations);
    }
    violations.0
}

#[derive(Default)]
struct Violations(Vec<Violation>);

/// All adds and entries that the journals and the streams contain.
struct KnownAdds<'h> {
    adds: HashMap<EntryTag, (usize, &'h Add)>,
    /// The entries of each stream, and those that a writer got an id for.
    entries: Vec<BTreeMap<EntryId, EntryTag>>,
    /// The oldest entry left in each stream that is trimmed.
    oldest: Vec<Option<EntryId>>,
    /// The padding of the entries of each foreign writer.
    foreign_padding: HashMap<u32, usize>,
}

impl<'h> KnownAdds<'h> {
    fn new(history: &'h History) -> Self {
        let mut adds = HashMap::new();
        let mut entries: Vec<BTreeMap<_, _>> = history
            .streams
            .iter()
            .map(|stream| stream.entries.iter().copied().collect())
            .collect();
        for writer in &history.writers {
            for add in &writer.adds {
                let text = EntryTag {
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
            stream.is_trimmed.then_some(first.unwrap_or(EntryId {
                ms: u64::MAX,
                seq: u64::MAX,
            }))
        });
        Self {
            adds,
            entries,
            oldest: oldest.collect(),
            foreign_padding: history
                .writers
                .iter()
                .filter_map(|writer| Some((writer.writer, writer.foreign_padding?)))
                .collect(),
        }
    }

    /// Whether a client that takes frames of this size can get the entry of an add.
    fn fits(&self, tag: EntryTag, frame_bytes: u32) -> bool {
        let padding = self.foreign_padding.get(&tag.writer);
        padding.is_none_or(|padding| fits(*padding, frame_bytes))
    }

    /// Whether it can get the entry with this id. So it can one that was trimmed.
    fn fits_id(&self, stream: usize, id: EntryId, frame_bytes: u32) -> bool {
        let tag = self.entries[stream].get(&id);
        tag.is_none_or(|tag| self.fits(*tag, frame_bytes))
    }

    /// Whether the entry with this id may have been trimmed.
    fn may_be_trimmed(&self, stream: usize, id: EntryId) -> bool {
        self.oldest[stream].is_some_and(|oldest| id < oldest)
    }
}

impl Violations {
    fn add(&mut self, kind: ViolationKind, what: String) {
        self.0.push(Violation { kind, what });
    }

    /// Reports a code that says that the call would never succeed: no fault of these runs causes
    /// one.
    fn stopped(&mut self, who: &str, code: &str) {
        if retry_of(code) == Retry::Never {
            self.add(
                ViolationKind::Stuck,
                format!("{who} was stopped for good: {code}"),
            );
        }
    }

    /// The same for a read. A subscription must not end at all: it survives every fault.
    fn ended(&mut self, who: &str, code: &str, subscribes: bool, last_error: &str) {
        if subscribes {
            let what = format!("{who} was ended: {code} (the last end: {last_error})");
            self.add(ViolationKind::Stuck, what);
        } else {
            self.stopped(who, code);
        }
    }

    /// Reports an id that comes twice, and returns whether it did.
    fn once(
        &mut self,
        seen: &mut BTreeSet<EntryId>,
        id: EntryId,
        what: impl FnOnce() -> String,
    ) -> bool {
        let is_new = seen.insert(id);
        if !is_new {
            self.add(ViolationKind::Duplicated, what());
        }
        !is_new
    }
}
