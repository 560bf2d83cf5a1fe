//! The log of one consumer: the ids that its owner knows, and which recoveries are due.

use streamgate_protocol::ByteString;
use streamgate_protocol::entry_id::EntryId;

use super::ConsumerKey;
use crate::engine::time::Millis;

/// The ids that are remembered of each consumer: entries that were delivered and not acknowledged.
/// Beyond them the log forgets the smallest ids. Recoveries then start after those, so no entry is
/// delivered twice; a lost entry that comes before them stays pending until it is reclaimed.
pub(super) const MAX_IDS: usize = 1_024;

#[derive(Debug)]
pub(super) struct ConsumerLog {
    pub(super) stream: ByteString,
    pub(super) group: ByteString,
    pub(super) consumer: ByteString,
    /// Sorted. All are above `floor`.
    pub(super) delivered: Vec<EntryId>,
    /// The greatest id that was forgotten.
    pub(super) floor: EntryId,
    /// Whether the consumer may have lost entries that no recovery in flight finds.
    pub(super) is_recovery_due: bool,
    pub(super) is_recovery_in_flight: bool,
    /// Acknowledged while a recovery is in flight, which may find them nevertheless.
    pub(super) acknowledged: Vec<EntryId>,
    /// Found by recoveries on this connection, and when; the oldest first, acknowledged or not. Each
    /// may come once more, however late: the server may have taken it, and wait for credit to push
    /// it.
    pub(super) recovered: Vec<(EntryId, Millis)>,
    /// Whether an earlier session of this client may still receive entries for the consumer.
    pub(super) needs_late_recovery: bool,
    /// Whether the next recovery shall begin by itself rather than with the next request.
    pub(super) is_background_recovery_due: bool,
}

impl ConsumerLog {
    pub(super) fn new(key: ConsumerKey<'_>) -> Self {
        Self {
            stream: key.stream.into(),
            group: key.group.into(),
            consumer: key.consumer.into(),
            delivered: Vec::new(),
            floor: EntryId::ZERO,
            is_recovery_due: false,
            is_recovery_in_flight: false,
            acknowledged: Vec::new(),
            recovered: Vec::new(),
            needs_late_recovery: false,
            is_background_recovery_due: false,
        }
    }

    pub(super) fn key(&self) -> ConsumerKey<'_> {
        ConsumerKey {
            stream: &self.stream,
            group: &self.group,
            consumer: &self.consumer,
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_idle(&self) -> bool {
        let has_ids = self.floor > EntryId::ZERO || !self.delivered.is_empty();
        let may_lose =
            self.is_recovery_due || self.is_recovery_in_flight || self.needs_late_recovery;
        !has_ids && !may_lose && self.recovered.is_empty()
    }

    pub(super) fn record(&mut self, id: &str) {
        let Ok(id) = EntryId::parse(id) else {
            return;
        };
        if id <= self.floor {
            return;
        }
        // Usually it is the greatest.
        if self.delivered.last().is_none_or(|last| *last < id) {
            self.delivered.push(id);
        } else if let Err(index) = self.delivered.binary_search(&id) {
            self.delivered.insert(index, id);
        }
        if self.delivered.len() > MAX_IDS {
            self.floor = self.delivered.remove(0);
        }
    }

    pub(super) fn is_new(&self, id: &str) -> bool {
        EntryId::parse(id).map_or(true, |id| {
            id > self.floor && self.delivered.binary_search(&id).is_err()
        })
    }

    pub(super) fn forget(&mut self, id: EntryId) {
        if let Ok(index) = self.delivered.binary_search(&id) {
            self.delivered.remove(index);
        }
    }

    pub(super) fn record_recovered(&mut self, id: &str, now: Millis) {
        self.record(id);
        self.recovered
            .extend(EntryId::parse(id).map(|id| (id, now)));
        if self.recovered.len() > MAX_IDS {
            self.recovered.remove(0);
        }
    }

    /// Returns whether a recovery found the entry, once.
    pub(super) fn take_recovered(&mut self, id: &str, since: Millis) -> bool {
        if self.recovered.is_empty() {
            return false;
        }
        let id = EntryId::parse(id);
        let mut recovered = self.recovered.iter();
        let found = recovered.position(|(other, at)| Ok(*other) == id && *at >= since);
        found.map(|index| self.recovered.remove(index)).is_some()
    }

    pub(super) const fn make_background_recovery_due(&mut self) {
        self.is_recovery_due = true;
        self.is_background_recovery_due = true;
    }

    /// Returns whether one was in flight.
    pub(super) fn end_recovery(&mut self) -> bool {
        for id in std::mem::take(&mut self.acknowledged) {
            self.forget(id);
        }
        std::mem::take(&mut self.is_recovery_in_flight)
    }
}
