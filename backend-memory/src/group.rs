//! One consumer group.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::budget::named_bytes;
use crate::stream::Entry;
use streamgate_protocol::EntryId;

/// A consumer group. Invariant: while a consumer waits, the stream has no entry after
/// `last_delivered`.
#[derive(Debug)]
pub(crate) struct Group {
    /// Entries up to this id are not given to anybody again.
    pub(crate) last_delivered: EntryId,
    consumers: HashSet<Arc<str>>,
    /// What was delivered and not acknowledged. Entries stay in it when the stream is trimmed.
    pub(crate) pending: BTreeMap<EntryId, Pending>,
    /// By the order they came in.
    pub(crate) waiting: BTreeMap<u64, WaitingConsumer>,
}

/// A delivery that was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) consumer: Arc<str>,
    /// Of the last delivery, in milliseconds since 1970.
    pub(crate) delivered_at_ms: u64,
    pub(crate) deliveries: u64,
}

impl Pending {
    /// Milliseconds since the last delivery.
    pub(crate) fn idle_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.delivered_at_ms)
    }
}

/// A consumer that waits for an entry. Room for its pending entry is reserved, so that an add
/// never fails for want of it.
#[derive(Debug)]
pub(crate) struct WaitingConsumer {
    pub(crate) consumer: Arc<str>,
    pub(crate) sender: oneshot::Sender<Arc<Entry>>,
    pub(crate) bytes: usize,
}

impl Group {
    /// A group that starts after `start`.
    pub(crate) fn new(start: EntryId) -> Self {
        Self {
            last_delivered: start,
            consumers: HashSet::new(),
            pending: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// What the consumer of this name will cost if it is new.
    pub(crate) fn bytes_of_missing(&self, consumer: &str) -> usize {
        if self.consumers.contains(consumer) {
            0
        } else {
            named_bytes(consumer)
        }
    }

    /// The consumer of this name, new if there is none.
    pub(crate) fn consumer(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.consumers.get(name) {
            return Arc::clone(known);
        }
        let consumer: Arc<str> = name.into();
        self.consumers.insert(Arc::clone(&consumer));
        consumer
    }

    /// Gives an entry to a consumer. Ids come in order, so none is pending already.
    pub(crate) fn deliver(&mut self, id: EntryId, consumer: &Arc<str>, now_ms: u64) {
        let consumer = Arc::clone(consumer);
        let pending = Pending {
            consumer,
            delivered_at_ms: now_ms,
            deliveries: 1,
        };
        self.pending.insert(id, pending);
        self.last_delivered = id;
    }

    /// Takes out the consumer that an entry with this id goes to: the one that came first.
    pub(crate) fn first_waiting(&mut self, id: EntryId) -> Option<WaitingConsumer> {
        if id <= self.last_delivered {
            return None;
        }
        self.waiting.pop_first().map(|(_, consumer)| consumer)
    }

    /// Gives a pending entry to another consumer, which counts as a delivery. Nothing is done if it
    /// is not pending.
    pub(crate) fn claim(&mut self, id: EntryId, consumer: &Arc<str>, now_ms: u64) {
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.consumer = Arc::clone(consumer);
            pending.delivered_at_ms = now_ms;
            pending.deliveries = pending.deliveries.saturating_add(1);
        }
    }

    /// The ids that a consumer holds.
    pub(crate) fn held_by(&self, consumer: &str) -> Vec<EntryId> {
        let held = self.pending.iter();
        held.filter(|(_, pending)| &*pending.consumer == consumer)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Forgets a consumer that holds nothing, and returns what it cost. One that waits is kept: Redis
    /// makes it anew when it is served.
    pub(crate) fn forget(&mut self, consumer: &str) -> usize {
        let waits = self.waiting.values().any(|c| &*c.consumer == consumer);
        if !waits && self.consumers.remove(consumer) {
            named_bytes(consumer)
        } else {
            0
        }
    }

    /// Forgets what is pending under these ids and returns how many there were.
    pub(crate) fn acknowledge(&mut self, ids: &[EntryId]) -> usize {
        ids.iter()
            .filter(|id| self.pending.remove(id).is_some())
            .count()
    }
}
