//! Which entries the owner of each consumer knows, so that lost deliveries can be found.
//!
//! The log holds the ids that were delivered to the owner and that are not known to be acknowledged.
//! An entry that is pending for the consumer and is not in the log was lost: its reply or its push
//! did not arrive. A recovery asks the server for those entries. Only a recovery at a time runs for
//! each consumer.
//!
//! Replies and pushes overtake each other, so an entry can come twice: from a recovery, and from the
//! delivery that was on its way meanwhile. The log drops the second of the two.

mod consumer_log;
#[cfg(test)]
mod tests;

use streamgate_protocol::Entry;
use streamgate_protocol::entry_id::EntryId;
use streamgate_protocol::text::Text;

use super::time::Millis;
use consumer_log::ConsumerLog;

/// The consumers that are remembered: those of which there is something to remember, while there
/// are that many. If a reply to any other consumer is lost, the request fails with
/// `UNKNOWN_OUTCOME`.
pub(super) const MAX_CONSUMERS: usize = 1_024;

/// Identifies a consumer of a group of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConsumerKey<'a> {
    pub(super) stream: &'a [u8],
    pub(super) group: &'a [u8],
    pub(super) consumer: &'a [u8],
}

/// The deliveries to each consumer of this client.
#[derive(Debug, Default)]
pub(super) struct DeliveryLog {
    /// Sorted by key.
    consumers: Vec<ConsumerLog>,
    recoveries_in_flight: usize,
    /// Whether any background recovery is due.
    any_background_due: bool,
}

/// Recording.
impl DeliveryLog {
    /// Records entries that the owner receives. If the log is full, it ignores those of a new
    /// consumer.
    pub(super) fn record(&mut self, key: ConsumerKey<'_>, entries: &[Entry]) {
        if let Some(log) = self.find_or_insert(key) {
            entries.iter().for_each(|entry| log.record(&entry.id));
        }
    }

    /// Records an entry that is too large, and of which the owner hears. Returns whether that is
    /// news.
    pub(super) fn record_too_large(&mut self, key: ConsumerKey<'_>, id: &str, now: Millis) -> bool {
        let Some(log) = self.find_or_insert(key) else {
            return true;
        };
        let is_new = log.is_new(id);
        if is_new {
            log.record_recovered(id, now);
        }
        is_new
    }

    /// Records entries that a recovery found and that the owner receives.
    pub(super) fn record_recovered(
        &mut self,
        key: ConsumerKey<'_>,
        entries: &[Entry],
        now: Millis,
    ) {
        if let Some(log) = self.find_or_insert(key) {
            entries
                .iter()
                .for_each(|entry| log.record_recovered(&entry.id, now));
        }
    }

    /// Removes entries that are no longer pending.
    pub(super) fn record_acknowledged(&mut self, stream: &[u8], group: &[u8], ids: &[Text<'_>]) {
        let logs = self.consumers.iter_mut();
        for log in logs.filter(|log| *log.stream == *stream && *log.group == *group) {
            for id in ids.iter().filter_map(|id| EntryId::parse(id).ok()) {
                if log.is_recovery_in_flight {
                    log.acknowledged.push(id);
                } else {
                    log.forget(id);
                }
            }
        }
    }

    /// Forgets what a group delivered that exists no more: nothing of it is pending, and a new
    /// stream may use the same ids.
    pub(super) fn forget_group(&mut self, key: ConsumerKey<'_>) {
        if let Some(log) = self.find_mut(key) {
            log.delivered.clear();
            log.recovered.clear();
            log.floor = EntryId::ZERO;
            log.is_recovery_due = false;
        }
    }

    /// Removes the entries of a delivery that a recovery found before, at this time or later.
    pub(super) fn remove_recovered(
        &mut self,
        key: ConsumerKey<'_>,
        entries: &mut Vec<Entry>,
        since: Millis,
    ) {
        if let Some(log) = self.find_mut(key) {
            entries.retain(|entry| !log.take_recovered(&entry.id, since));
        }
    }

    /// Records an entry that the server skipped. Returns whether that is news.
    pub(super) fn record_skipped(&mut self, key: ConsumerKey<'_>, id: &str) -> bool {
        let Some(log) = self.find_or_insert(key) else {
            return true;
        };
        let is_new = !log.take_recovered(id, 0);
        log.record(id);
        is_new
    }

    /// Returns how many entries the owner received and did not acknowledge.
    pub(super) fn count(&self, key: ConsumerKey<'_>) -> u64 {
        self.find(key)
            .map_or(0, |index| self.consumers[index].delivered.len() as u64)
    }

    /// Removes the entries of a recovery that the owner knows.
    pub(super) fn retain_new(&self, key: ConsumerKey<'_>, entries: &mut Vec<Entry>) {
        if let Ok(index) = self.find(key) {
            let log = &self.consumers[index];
            entries.retain(|entry| log.is_new(&entry.id));
        }
    }
}

/// Recoveries.
impl DeliveryLog {
    /// Returns the id after which to look for lost entries, and the ids to leave out.
    pub(super) fn recovery_range(&self, key: ConsumerKey<'_>) -> (EntryId, Vec<Text<'static>>) {
        match self.find(key) {
            Ok(index) => {
                let log = &self.consumers[index];
                let text = |id: &EntryId| String::from(*id).into();
                (log.floor, log.delivered.iter().map(text).collect())
            }
            Err(_) => (EntryId::ZERO, Vec::new()),
        }
    }

    /// Records that the consumer's next request must begin with a recovery. Returns whether the log
    /// can take the consumer, so that its lost deliveries can be found.
    pub(super) fn set_recovery_due(&mut self, key: ConsumerKey<'_>) -> bool {
        let log = self.find_or_insert(key);
        log.map(|log| log.is_recovery_due = true).is_some()
    }

    pub(super) fn is_recovery_due(&self, key: ConsumerKey<'_>) -> bool {
        self.find(key)
            .is_ok_and(|index| self.consumers[index].is_recovery_due)
    }

    /// Whether the consumer's requests wait for a recovery in flight.
    pub(super) fn is_recovery_in_flight(&self, key: ConsumerKey<'_>) -> bool {
        self.find(key)
            .is_ok_and(|index| self.consumers[index].is_recovery_in_flight)
    }

    pub(super) const fn any_recovery_in_flight(&self) -> bool {
        self.recoveries_in_flight > 0
    }

    pub(super) fn begin_recovery(&mut self, key: ConsumerKey<'_>) {
        if let Some(log) = self.find_or_insert(key) {
            log.is_recovery_due = false;
            let was_in_flight = std::mem::replace(&mut log.is_recovery_in_flight, true);
            self.recoveries_in_flight += usize::from(!was_in_flight);
        }
    }

    /// Records that the recovery in flight has ended, and whether there may be more entries.
    pub(super) fn end_recovery(&mut self, key: ConsumerKey<'_>, is_due: bool) {
        if let Some(log) = self.find_mut(key) {
            log.is_recovery_due |= is_due;
            let was_in_flight = log.end_recovery();
            self.recoveries_in_flight -= usize::from(was_in_flight);
        }
    }

    /// Records that the connection was lost: nothing is on its way any more.
    pub(super) fn record_connection_lost(&mut self) {
        self.recoveries_in_flight = 0;
        self.any_background_due = false;
        for log in &mut self.consumers {
            log.recovered.clear();
            log.end_recovery();
            log.is_background_recovery_due = false;
        }
    }

    /// Records that an earlier session may still receive entries for the consumer.
    pub(super) fn require_late_recovery(&mut self, key: ConsumerKey<'_>) {
        if let Some(log) = self.find_or_insert(key) {
            log.needs_late_recovery = true;
        }
    }

    /// Makes the late recoveries due: all earlier sessions have ended.
    pub(super) fn begin_late_recoveries(&mut self) {
        for log in &mut self.consumers {
            if std::mem::take(&mut log.needs_late_recovery) {
                log.make_background_recovery_due();
                self.any_background_due = true;
            }
        }
    }

    /// Makes a recovery due that begins by itself if the consumer waits for entries.
    pub(super) fn set_background_recovery_due(&mut self, key: ConsumerKey<'_>) {
        if let Some(log) = self.find_or_insert(key) {
            log.make_background_recovery_due();
            self.any_background_due = true;
        }
    }

    /// Calls `begin` for every background recovery that is due. It returns whether the recovery has
    /// to wait longer.
    pub(super) fn begin_background_recoveries(
        &mut self,
        mut begin: impl FnMut(ConsumerKey<'_>) -> bool,
    ) {
        if !std::mem::take(&mut self.any_background_due) {
            return;
        }
        for log in &mut self.consumers {
            if log.is_background_recovery_due {
                let waits = log.is_recovery_in_flight || begin(log.key());
                log.is_background_recovery_due = log.is_recovery_due && waits;
                self.any_background_due |= log.is_background_recovery_due;
            }
        }
    }
}

impl DeliveryLog {
    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    fn find(&self, key: ConsumerKey<'_>) -> Result<usize, usize> {
        self.consumers.binary_search_by(|log| log.key().cmp(&key))
    }

    fn find_mut(&mut self, key: ConsumerKey<'_>) -> Option<&mut ConsumerLog> {
        let index = self.find(key).ok()?;
        self.consumers.get_mut(index)
    }

    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    fn find_or_insert(&mut self, key: ConsumerKey<'_>) -> Option<&mut ConsumerLog> {
        let index = match self.find(key) {
            Ok(index) => index,
            Err(mut index) => {
                if self.consumers.len() >= MAX_CONSUMERS {
                    let idle = self.consumers.iter().position(ConsumerLog::is_idle)?;
                    self.consumers.remove(idle);
                    index -= usize::from(idle < index);
                }
                self.consumers.insert(index, ConsumerLog::new(key));
                index
            }
        };
        self.consumers.get_mut(index)
    }
}
