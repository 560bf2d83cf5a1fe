//! Which entries the owner of each consumer knows, so that lost deliveries can be found.
//!
//! The log holds the ids that were delivered to the owner and that are not known to be acknowledged.
//! An entry that is pending for the consumer and is not in the log was lost: its reply or its push
//! did not arrive. A recovery asks the server for those entries. Only a recovery at a time runs for
//! each consumer.
//!
//! Replies and pushes overtake each other, so an entry can come twice: from a recovery, and from the
//! delivery that was on its way meanwhile. The log drops the second of the two.

use streamgate_protocol::entry_id::EntryId;
use streamgate_protocol::text::Text;
use streamgate_protocol::{ByteString, Entry};

use super::time::Millis;

/// The ids that are remembered of each consumer: entries that were delivered and not acknowledged.
/// Beyond them the log forgets the smallest ids. Recoveries then start after those, so no entry is
/// delivered twice; a lost entry that comes before them stays pending until it is reclaimed.
const MAX_IDS: usize = 1_024;

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

#[derive(Debug)]
struct ConsumerLog {
    stream: ByteString,
    group: ByteString,
    consumer: ByteString,
    /// Sorted. All are above `floor`.
    delivered: Vec<EntryId>,
    /// The greatest id that was forgotten.
    floor: EntryId,
    /// Whether the consumer may have lost entries that no recovery in flight finds.
    is_recovery_due: bool,
    is_recovery_in_flight: bool,
    /// Acknowledged while a recovery is in flight, which may find them nevertheless.
    acknowledged: Vec<EntryId>,
    /// Found by recoveries on this connection, and when; the oldest first, acknowledged or not. Each
    /// may come once more, however late: the server may have taken it, and wait for credit to push
    /// it.
    recovered: Vec<(EntryId, Millis)>,
    /// Whether an earlier session of this client may still receive entries for the consumer.
    needs_late_recovery: bool,
    /// Whether the next recovery shall begin by itself rather than with the next request.
    is_background_recovery_due: bool,
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

impl ConsumerLog {
    fn new(key: ConsumerKey<'_>) -> Self {
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

    fn key(&self) -> ConsumerKey<'_> {
        ConsumerKey {
            stream: &self.stream,
            group: &self.group,
            consumer: &self.consumer,
        }
    }

    /// Whether there is nothing to remember.
    fn is_idle(&self) -> bool {
        let has_ids = self.floor > EntryId::ZERO || !self.delivered.is_empty();
        let may_lose =
            self.is_recovery_due || self.is_recovery_in_flight || self.needs_late_recovery;
        !has_ids && !may_lose && self.recovered.is_empty()
    }

    fn record(&mut self, id: &str) {
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

    fn is_new(&self, id: &str) -> bool {
        EntryId::parse(id).map_or(true, |id| {
            id > self.floor && self.delivered.binary_search(&id).is_err()
        })
    }

    fn forget(&mut self, id: EntryId) {
        if let Ok(index) = self.delivered.binary_search(&id) {
            self.delivered.remove(index);
        }
    }

    fn record_recovered(&mut self, id: &str, now: Millis) {
        self.record(id);
        self.recovered
            .extend(EntryId::parse(id).map(|id| (id, now)));
        if self.recovered.len() > MAX_IDS {
            self.recovered.remove(0);
        }
    }

    /// Returns whether a recovery found the entry, once.
    fn take_recovered(&mut self, id: &str, since: Millis) -> bool {
        if self.recovered.is_empty() {
            return false;
        }
        let id = EntryId::parse(id);
        let mut recovered = self.recovered.iter();
        let found = recovered.position(|(other, at)| Ok(*other) == id && *at >= since);
        found.map(|index| self.recovered.remove(index)).is_some()
    }

    const fn make_background_recovery_due(&mut self) {
        self.is_recovery_due = true;
        self.is_background_recovery_due = true;
    }

    /// Returns whether one was in flight.
    fn end_recovery(&mut self) -> bool {
        for id in std::mem::take(&mut self.acknowledged) {
            self.forget(id);
        }
        std::mem::take(&mut self.is_recovery_in_flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ConsumerKey<'_> = ConsumerKey {
        stream: b"s",
        group: b"g",
        consumer: b"c",
    };

    fn entries(ids: impl IntoIterator<Item = u64>) -> Vec<Entry> {
        ids.into_iter()
            .map(|ms| Entry::deleted(EntryId::new(ms, 0)))
            .collect()
    }

    /// Returns the entries of a recovery that are new.
    fn new_of(log: &DeliveryLog, ids: impl IntoIterator<Item = u64>) -> Vec<Entry> {
        let mut found = entries(ids);
        log.retain_new(KEY, &mut found);
        found
    }

    fn acknowledge(log: &mut DeliveryLog, ids: impl IntoIterator<Item = u64>) {
        let ids: Vec<Text<'_>> = entries(ids)
            .into_iter()
            .map(|entry| entry.id.into())
            .collect();
        log.record_acknowledged(b"s", b"g", &ids);
    }

    fn texts(ids: &[&'static str]) -> Vec<Text<'static>> {
        ids.iter().map(|id| Text::from(*id)).collect()
    }

    #[test]
    fn an_entry_that_was_delivered_is_not_new() {
        let mut log = DeliveryLog::default();
        assert_eq!(log.recovery_range(KEY), (EntryId::ZERO, vec![]));
        log.record(KEY, &entries([6, 7]));
        log.record(KEY, &entries([1, 2, 6]));
        let except = texts(&["1-0", "2-0", "6-0", "7-0"]);
        assert_eq!(log.recovery_range(KEY), (EntryId::ZERO, except));
        assert_eq!(new_of(&log, 1..=8), entries([3, 4, 5, 8]));
        let other = ConsumerKey {
            consumer: b"d",
            ..KEY
        };
        let mut found = entries([1]);
        log.retain_new(other, &mut found);
        assert_eq!(found, entries([1]));
    }

    #[test]
    fn an_acknowledged_entry_is_forgotten() {
        let mut log = DeliveryLog::default();
        log.record(KEY, &entries(1..=3));
        acknowledge(&mut log, [2, 9]);
        let except = texts(&["1-0", "3-0"]);
        assert_eq!(log.recovery_range(KEY), (EntryId::ZERO, except));
    }

    /// The server may have looked before the acknowledgement.
    #[test]
    fn a_recovery_in_flight_does_not_find_what_is_acknowledged_meanwhile() {
        let mut log = DeliveryLog::default();
        log.record(KEY, &entries(1..=3));
        log.begin_recovery(KEY);
        acknowledge(&mut log, [2]);
        assert_eq!(new_of(&log, 1..=4), entries([4]));
        log.end_recovery(KEY, false);
        let except = texts(&["1-0", "3-0"]);
        assert_eq!(log.recovery_range(KEY), (EntryId::ZERO, except));
    }

    #[test]
    fn a_recovery_starts_after_the_ids_that_the_log_forgot() {
        let mut log = DeliveryLog::default();
        let many = MAX_IDS as u64 + 10;
        log.record(KEY, &entries(1..=many));
        let (after, except) = log.recovery_range(KEY);
        assert_eq!((after, except.len()), (EntryId::new(10, 0), MAX_IDS));
        assert_eq!(new_of(&log, 1..=many + 1), entries([many + 1]));
        log.record(KEY, &entries([5]));
        assert_eq!(log.recovery_range(KEY), (after, except), "below the floor");
    }

    #[test]
    fn a_delivery_that_a_recovery_overtook_is_dropped_once() {
        let mut log = DeliveryLog::default();
        log.record_recovered(KEY, &entries([1, 2]), 100);
        let delivered = |log: &mut DeliveryLog| {
            let mut delivered = entries([1, 3]);
            log.remove_recovered(KEY, &mut delivered, 0);
            delivered
        };
        assert_eq!(delivered(&mut log), entries([3]));
        assert_eq!(delivered(&mut log), entries([1, 3]), "reclaimed");
        log.record_recovered(KEY, &entries([1]), 100);
        acknowledge(&mut log, [1]);
        assert_eq!(delivered(&mut log), entries([3]), "acknowledged meanwhile");
        log.record_recovered(KEY, &entries([1]), 100);
        log.record_connection_lost();
        assert_eq!(delivered(&mut log), entries([1, 3]));
    }

    #[test]
    fn what_recoveries_found_is_bounded_too() {
        let mut log = DeliveryLog::default();
        let many = MAX_IDS as u64 + 1;
        log.record_recovered(KEY, &entries(1..=many), 100);
        let mut delivered = entries([1, 2, many]);
        log.remove_recovered(KEY, &mut delivered, 0);
        assert_eq!(delivered, entries([1]));
    }

    #[test]
    fn a_full_log_takes_no_new_consumer() {
        let mut log = DeliveryLog::default();
        let names: Vec<String> = (0..=MAX_CONSUMERS).map(|n| n.to_string()).collect();
        let key = |n: usize| ConsumerKey {
            consumer: names[n].as_bytes(),
            ..KEY
        };
        for n in 0..=MAX_CONSUMERS {
            log.record(key(n), &entries([5]));
        }
        assert!(log.set_recovery_due(key(0)));
        assert!(!log.set_recovery_due(key(MAX_CONSUMERS)));
        assert_eq!(log.consumers.len(), MAX_CONSUMERS);
    }

    #[test]
    fn a_full_log_forgets_consumers_without_entries() {
        let mut log = DeliveryLog::default();
        let names: Vec<String> = (0..=MAX_CONSUMERS).map(|n| n.to_string()).collect();
        let key = |n: usize| ConsumerKey {
            consumer: names[n].as_bytes(),
            ..KEY
        };
        for n in 0..=MAX_CONSUMERS {
            log.record(key(n), &entries([n as u64]));
            if n % 2 == 0 {
                acknowledge(&mut log, [n as u64]);
            }
        }
        assert_eq!(log.consumers.len(), MAX_CONSUMERS);
        assert!(log.set_recovery_due(key(MAX_CONSUMERS)));
        for n in (1..MAX_CONSUMERS).step_by(2) {
            let except = texts(&[String::from(EntryId::new(n as u64, 0)).leak()]);
            assert_eq!(log.recovery_range(key(n)), (EntryId::ZERO, except));
        }
        assert!(log.consumers.is_sorted_by(|a, b| a.key() < b.key()));
    }
}
