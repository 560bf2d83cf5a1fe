//! What an operation returns from under the lock: its entries are still shared, and copied later.

use std::sync::Arc;

use streamgate_backend::Reclaimed;
use streamgate_protocol::{Claimed, EntryId, Reply, Skipped};

use crate::entry::Entry;
use crate::waiter::Registration;

/// Bytes of entries above which an answer is large: it reserves its room before it is copied.
const LARGE_BYTES: usize = 256 * 1024;

/// How far an operation has come.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Answer),
    Waiting(Registration),
}

/// The answer of an operation that is done.
#[derive(Debug)]
pub(crate) enum Answer {
    Added(EntryId),
    Entries {
        entries: Vec<Arc<Entry>>,
        /// The id to read from next if there is no entry; `None` for operations that have none.
        after: Option<String>,
        /// Whether further pending entries did not fit.
        more: bool,
    },
    Claimed {
        cursor: EntryId,
        entries: Vec<Arc<Entry>>,
        deleted: Vec<EntryId>,
    },
    Reply(Reply),
    Acknowledged(usize),
    Done,
}

/// The answer of a step of reclaiming.
pub(crate) struct ReclaimAnswer {
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) cursor: EntryId,
    pub(crate) since_ms: u64,
    /// How many entries went to the dead-letter stream.
    pub(crate) dead_letters: usize,
}

impl Answer {
    /// The entries of an operation whose reply names no id to read from next.
    pub(crate) fn entries(entries: Vec<Arc<Entry>>) -> Self {
        Self::Entries {
            entries,
            after: None,
            more: false,
        }
    }

    /// Returns the bytes of a read's entries if they are large. What was delivered to a consumer is
    /// never held back.
    pub(crate) fn large_bytes(&self) -> Option<usize> {
        let Self::Entries { entries, .. } = self else {
            return None;
        };
        let bytes: usize = entries.iter().map(|entry| entry.bytes).sum();
        (bytes > LARGE_BYTES).then_some(bytes)
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Added(id) => Self::Added { id: id.to_string() },
            Answer::Entries {
                entries,
                after,
                more,
            } => {
                let last = entries.last().map(|entry| entry.id.to_string());
                let last_id = after.map(|after| last.unwrap_or(after));
                let entries = copied(&entries);
                Self::Entries {
                    entries,
                    last_id,
                    more,
                }
            }
            Answer::Claimed {
                cursor,
                entries,
                deleted,
            } => Self::Claimed(Claimed::new(
                cursor,
                copied(&entries),
                deleted.into_iter().map(String::from).collect(),
            )),
            Answer::Reply(reply) => reply,
            Answer::Acknowledged(count) => Self::Acknowledged {
                count: count as u64,
            },
            Answer::Done => Self::Done {},
        }
    }
}

impl From<ReclaimAnswer> for Reclaimed {
    fn from(answer: ReclaimAnswer) -> Self {
        let cursor = answer.cursor.to_string();
        Self::new(copied(&answer.entries), cursor, answer.since_ms).skipped(answer.skipped)
    }
}

fn copied(entries: &[Arc<Entry>]) -> Vec<streamgate_protocol::Entry> {
    entries.iter().map(|entry| entry.to_entry()).collect()
}
