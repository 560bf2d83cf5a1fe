//! The operations on all streams, one at a time, under one lock.

pub(crate) mod entries;
pub(crate) mod groups;
pub(crate) mod idempotent_add;
pub(crate) mod pending;
pub(crate) mod reclaim;
pub(crate) mod tails;

use std::collections::HashMap;
use std::sync::Arc;

use streamgate_protocol::{CacheResult, Claimed, Operation, Reply, StreamEntry};

use crate::budget::{Budget, MAX_SHARED_BYTES, PENDING_BYTES, named_bytes};
use crate::stream::{Entry, Stream};
use crate::wait::{Place, Ticket};
use streamgate_protocol::EntryId;

use crate::store::idempotent_add::{Once, Producers};
use crate::store::pending::Wanted;
pub(crate) use crate::store::tails::{Pulled, Stand};

/// All streams. No method waits; a failed one has changed nothing.
pub(crate) struct Engine {
    pub(crate) streams: HashMap<String, Stream>,
    /// Of streams, groups and entries.
    pub(crate) stored: Budget,
    /// Of consumers and pending entries, and those reserved for waiting consumers.
    pub(crate) pending: Budget,
    /// Of waiting calls.
    pub(crate) waiting: Budget,
    /// Of batches that are kept for the followers that come for them.
    pub(crate) shared: Budget,
    producers: Producers,
    /// How many calls have waited so far, which numbers them in the order they come.
    calls: u64,
}

/// How far an operation has come.
#[derive(Debug)]
pub(crate) enum Step {
    Done(Answer),
    Waiting(Ticket),
}

/// What an operation gives, its entries still shared.
#[derive(Debug)]
pub(crate) enum Answer {
    Added(EntryId),
    Entries {
        entries: Vec<Arc<Entry>>,
        asked: Option<String>,
    },
    Claimed {
        cursor: EntryId,
        entries: Vec<Arc<Entry>>,
        deleted: Vec<EntryId>,
    },
    Reply(Reply),
    Done,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Added(id) => Self::Added { id: id.to_string() },
            Answer::Entries { entries, asked } => {
                let last = entries.last().map(|entry| entry.id.to_string());
                let last_id = asked.map(|asked| last.unwrap_or(asked));
                let entries = copied(&entries);
                Self::Entries { entries, last_id }
            }
            Answer::Claimed {
                cursor,
                entries,
                deleted,
            } => Self::Claimed(Claimed {
                cursor: cursor.to_string(),
                entries: copied(&entries),
                deleted: deleted.iter().map(EntryId::to_string).collect(),
            }),
            Answer::Reply(reply) => reply,
            Answer::Done => Self::Done {},
        }
    }
}

impl Engine {
    /// No streams yet, and so many bytes of streams, of what is pending and of waiting calls.
    pub(crate) fn new(stored: usize, pending: usize, waiting: usize) -> Self {
        Self {
            streams: HashMap::new(),
            stored: Budget::new(stored),
            pending: Budget::new(pending),
            waiting: Budget::new(waiting),
            shared: Budget::new(MAX_SHARED_BYTES),
            producers: Producers::default(),
            calls: 0,
        }
    }

    /// Performs an operation, or notes that it waits.
    pub(crate) fn perform(&mut self, operation: Operation<'_>, now_ms: u64) -> CacheResult<Step> {
        operation.validate()?;
        match operation {
            Operation::Add {
                stream,
                fields,
                maxlen,
            } => self.add(&stream, fields, maxlen, now_ms),
            Operation::AddOnce {
                stream,
                fields,
                maxlen,
                producer,
                number,
                after,
                again: _,
            } => {
                let add = Once {
                    producer: &producer,
                    number,
                    after,
                };
                self.add_once(&stream, fields, maxlen, &add, now_ms)
            }
            Operation::ReadLatest { stream, count } => Ok(self.read_latest(&stream, count)),
            Operation::Read {
                stream,
                last_id,
                count,
                block_ms,
            } => self.read(&stream, &last_id, count, block_ms),
            Operation::CreateGroup { stream, group, id } => self.create_group(&stream, group, &id),
            Operation::ReadGroup {
                stream,
                group,
                consumer,
                count,
                block_ms,
            } => self.read_group(&stream, &group, &consumer, count, block_ms, now_ms),
            Operation::Ack { stream, group, ids } => self.ack(&stream, &group, &ids),
            Operation::ReadPending {
                stream,
                group,
                consumer,
                after,
                count,
            } => self.read_pending(&stream, [&group, &consumer], &after, count, now_ms),
            Operation::PendingSummary { stream, group } => self.pending_summary(&stream, &group),
            Operation::Pending {
                stream,
                group,
                start,
                end,
                count,
                consumer,
                min_idle_ms,
            } => {
                let wanted = Wanted {
                    ends: [&start, &end],
                    count,
                    consumer: consumer.as_deref(),
                    min_idle_ms: min_idle_ms.unwrap_or(0),
                };
                self.pending_entries(&stream, &group, &wanted, now_ms)
            }
            Operation::Claim {
                stream,
                group,
                consumer,
                min_idle_ms,
                start,
                count,
            } => {
                let wanted = Wanted {
                    ends: [&start, "+"],
                    count,
                    consumer: None,
                    min_idle_ms,
                };
                self.claim(&stream, &group, &consumer, &wanted, now_ms)
            }
            Operation::RemoveConsumer {
                stream,
                group,
                consumer,
                heir,
            } => self.remove_consumer(&stream, &group, &consumer, &heir),
        }
    }

    /// Forgets a waiting call; does nothing if it was answered.
    pub(crate) fn leave(&mut self, place: &Place) {
        let Some(stream) = self.streams.get_mut(&place.stream) else {
            return;
        };
        match &place.group {
            Some(group) => {
                let group = stream.groups.get_mut(group);
                if let Some(left) = group.and_then(|group| group.waiting.remove(&place.number)) {
                    self.waiting.give_back(left.bytes);
                    self.pending.give_back(PENDING_BYTES);
                }
            }
            None => {
                if let Some(left) = stream.readers.remove(&place.number) {
                    self.waiting.give_back(left.bytes);
                }
            }
        }
        if stream.is_unused() {
            self.streams.remove(&place.stream);
        }
    }

    /// What the stream itself will cost if it is stored for the first time.
    fn bytes_of_missing(&self, key: &str) -> usize {
        let missing = self.streams.get(key).is_none_or(Stream::is_blank);
        if missing { named_bytes(key) } else { 0 }
    }
}

fn copied(entries: &[Arc<Entry>]) -> Vec<StreamEntry> {
    entries
        .iter()
        .map(|entry| entry.to_stream_entry())
        .collect()
}

/// A count of 0 sets no limit.
fn no_limit(count: u64) -> usize {
    if count == 0 {
        usize::MAX
    } else {
        to_usize(count)
    }
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
