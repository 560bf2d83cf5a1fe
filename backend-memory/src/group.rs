//! One consumer group.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::ops::Bound;
use std::sync::Arc;

use streamgate_protocol::EntryId;
use tokio::sync::oneshot;

use crate::budget::named_bytes;
use crate::entry::Entry;

/// A consumer group. Invariant: while a consumer waits, the stream has no entry after
/// `last_delivered`.
#[derive(Debug)]
pub(crate) struct Group {
    /// Entries up to this id were delivered.
    pub(crate) last_delivered: EntryId,
    consumers: HashMap<Arc<[u8]>, Consumer>,
    /// Delivered and not acknowledged. Entries stay pending when the stream is trimmed.
    pending: BTreeMap<EntryId, PendingRecord>,
    /// By number, so that they are served in the order they came.
    pub(crate) waiting: BTreeMap<u64, WaitingConsumer>,
}

/// A consumer. It is kept while entries are pending for it.
#[derive(Debug, Default)]
struct Consumer {
    /// When it last read, claimed or was served, in ms since 1970.
    seen_ms: u64,
    /// The ids that are pending for it, so that nobody looks for them among those of others.
    pending: BTreeSet<EntryId>,
}

/// A delivery that was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingRecord {
    pub(crate) consumer: Arc<[u8]>,
    /// Time of the last delivery in ms since 1970.
    pub(crate) delivered_at_ms: u64,
    pub(crate) deliveries: u64,
}

impl PendingRecord {
    /// Time since the last delivery in ms.
    pub(crate) fn idle_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.delivered_at_ms)
    }
}

/// A consumer that waits for an entry. Room for its pending entry is reserved, so that the add
/// that serves it cannot fail.
#[derive(Debug)]
pub(crate) struct WaitingConsumer {
    pub(crate) consumer: Arc<[u8]>,
    pub(crate) sender: oneshot::Sender<Arc<Entry>>,
    /// Bytes that its wait costs.
    pub(crate) bytes: usize,
}

impl Group {
    /// Returns a group whose first delivery is the first entry after `start`.
    pub(crate) fn new(start: EntryId) -> Self {
        Self {
            last_delivered: start,
            consumers: HashMap::new(),
            pending: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Whether no entry is pending and no consumer waits.
    pub(crate) fn is_inactive(&self) -> bool {
        self.pending.is_empty() && self.waiting.is_empty()
    }

    /// Bytes that all consumers cost.
    pub(crate) fn consumers_bytes(&self) -> usize {
        self.consumers.keys().map(|name| named_bytes(name)).sum()
    }

    /// Bytes that the consumer will cost if it is new.
    pub(crate) fn bytes_if_new(&self, consumer: &[u8]) -> usize {
        if self.consumers.contains_key(consumer) {
            0
        } else {
            named_bytes(consumer)
        }
    }

    /// Returns the consumer of this name, and records that it was active. Creates it if there is
    /// none.
    pub(crate) fn consumer(&mut self, name: &[u8], now_ms: u64) -> Arc<[u8]> {
        let known = self.consumers.get_key_value(name);
        let consumer = known.map_or_else(|| name.into(), |(known, _)| Arc::clone(known));
        let record = self.consumers.entry(Arc::clone(&consumer)).or_default();
        record.seen_ms = now_ms;
        consumer
    }

    pub(crate) fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// Returns the consumers in any order: how many entries are pending for each, and for how many
    /// milliseconds it was idle.
    pub(crate) fn consumers(&self, now_ms: u64) -> impl Iterator<Item = (&[u8], usize, u64)> {
        self.consumers.iter().map(move |(name, consumer)| {
            let idle_ms = now_ms.saturating_sub(consumer.seen_ms);
            (&**name, consumer.pending.len(), idle_ms)
        })
    }

    /// Returns what is pending, by rising ids.
    pub(crate) fn pending(&self) -> &BTreeMap<EntryId, PendingRecord> {
        &self.pending
    }

    /// Returns the ids in a range that are pending for a consumer.
    pub(crate) fn pending_of(
        &self,
        consumer: &[u8],
        range: (Bound<EntryId>, Bound<EntryId>),
    ) -> impl Iterator<Item = EntryId> {
        let consumer = self.consumers.get(consumer);
        let pending = consumer.map(|consumer| consumer.pending.range(range));
        pending.into_iter().flatten().copied()
    }

    /// Delivers an entry to a consumer. Ids come in order, so none is pending already.
    pub(crate) fn deliver(&mut self, id: EntryId, consumer: &Arc<[u8]>, now_ms: u64) {
        let record = self.consumers.entry(Arc::clone(consumer)).or_default();
        record.seen_ms = now_ms;
        record.pending.insert(id);
        let consumer = Arc::clone(consumer);
        let pending = PendingRecord {
            consumer,
            delivered_at_ms: now_ms,
            deliveries: 1,
        };
        self.pending.insert(id, pending);
        self.last_delivered = id;
    }

    /// Removes and returns the consumer that an entry with this id goes to: the first that came.
    pub(crate) fn take_first_waiting(&mut self, id: EntryId) -> Option<WaitingConsumer> {
        if id <= self.last_delivered {
            return None;
        }
        self.waiting.pop_first().map(|(_, consumer)| consumer)
    }

    /// Makes a pending entry pending for a consumer, without counting a delivery. Does nothing if
    /// the entry is not pending.
    pub(crate) fn transfer(&mut self, id: EntryId, consumer: &Arc<[u8]>, now_ms: u64) {
        self.reassign(id, consumer);
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.delivered_at_ms = now_ms;
        }
    }

    /// Changes nothing but for whom an entry is pending. Does nothing if it is not pending.
    pub(crate) fn reassign(&mut self, id: EntryId, consumer: &Arc<[u8]>) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        let former = mem::replace(&mut pending.consumer, Arc::clone(consumer));
        if let Some(former) = self.consumers.get_mut(&former) {
            former.pending.remove(&id);
        }
        let record = self.consumers.entry(Arc::clone(consumer)).or_default();
        record.pending.insert(id);
    }

    /// Delivers a pending entry to a consumer. Does nothing if the entry is not pending.
    pub(crate) fn deliver_again(&mut self, id: EntryId, consumer: &Arc<[u8]>, now_ms: u64) {
        self.transfer(id, consumer, now_ms);
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.deliveries = pending.deliveries.saturating_add(1);
        }
    }

    /// Removes a consumer without pending entries and returns the bytes it cost. A consumer that
    /// waits is kept: Redis would create it again to serve it.
    pub(crate) fn remove_consumer(&mut self, consumer: &[u8]) -> usize {
        let waits = self.waiting.values().any(|c| &*c.consumer == consumer);
        if !waits && self.consumers.remove(consumer).is_some() {
            named_bytes(consumer)
        } else {
            0
        }
    }

    /// Removes these ids from the pending entries and returns how many were pending.
    pub(crate) fn acknowledge(&mut self, ids: &[EntryId]) -> usize {
        let mut acknowledged = 0;
        for id in ids {
            if let Some(pending) = self.pending.remove(id) {
                acknowledged += 1;
                if let Some(consumer) = self.consumers.get_mut(&pending.consumer) {
                    consumer.pending.remove(id);
                }
            }
        }
        acknowledged
    }
}
