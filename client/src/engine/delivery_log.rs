//! Which entries consumers received, so that a lost delivery can be found.
//!
//! Redis gives a group's entries in the order of their ids. So the entries that are pending for a
//! consumer after the last id that it received are those whose delivery was lost. Replies to one
//! consumer may arrive out of order; hence the log of recent ids. The server remembers nothing of a
//! connection that is gone.
//!
//! A recovery may also find entries that are on their way in another reply to the same consumer, on
//! another of the server's connections to Redis. Nothing distinguishes those from lost ones, so the
//! owner receives them twice.

use std::collections::VecDeque;

use streamgate_protocol::StreamEntry;
use streamgate_protocol::entry_id::EntryId;

/// The ids that are remembered of each consumer. A lost reply is not recovered once more than this
/// many entries arrived after it; its entries stay pending.
const MAX_IDS: usize = 1_024;

/// The consumers that are remembered. If a reply to any other consumer is lost, the request fails
/// with `UNKNOWN_OUTCOME`.
pub(super) const MAX_CONSUMERS: usize = 1_024;

/// Identifies a consumer of a group of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConsumerKey<'a> {
    pub(super) stream: &'a str,
    pub(super) group: &'a str,
    pub(super) consumer: &'a str,
}

/// The recent deliveries to each consumer of this client.
#[derive(Debug, Default)]
pub(super) struct DeliveryLog {
    /// Sorted by key.
    consumers: Vec<ConsumerLog>,
}

#[derive(Debug)]
struct ConsumerLog {
    stream: String,
    group: String,
    consumer: String,
    /// The last ids that were delivered.
    recent: VecDeque<EntryId>,
    /// The greatest id that was delivered before those.
    older: EntryId,
    /// The last entry that a recovery found, if it has not reached the end: a read returns no more
    /// entries than it asks for.
    recovery_cursor: Option<String>,
}

impl DeliveryLog {
    /// Records entries that arrived. If the log is full, it ignores those of a new consumer.
    pub(super) fn record(&mut self, key: ConsumerKey<'_>, entries: &[StreamEntry]) {
        let index = match self.find(key) {
            Ok(index) => index,
            Err(_) if self.is_full() => return,
            Err(index) => {
                self.consumers.insert(index, ConsumerLog::new(key));
                index
            }
        };
        let log = &mut self.consumers[index];
        for id in entries.iter().filter_map(|(id, _)| EntryId::parse(id).ok()) {
            if log.recent.len() == MAX_IDS
                && let Some(oldest) = log.recent.pop_front()
            {
                log.older = log.older.max(oldest);
            }
            log.recent.push_back(id);
        }
    }

    /// Returns the id after which to look for a lost delivery, or `None` if that is unknown.
    pub(super) fn recovery_start(&self, key: ConsumerKey<'_>) -> Option<String> {
        match self.find(key) {
            Ok(index) => Some(self.consumers[index].older.into()),
            Err(_) if self.is_full() => None,
            Err(_) => Some(EntryId::ZERO.into()),
        }
    }

    /// Removes the entries that already arrived.
    pub(super) fn retain_new(&self, key: ConsumerKey<'_>, entries: &mut Vec<StreamEntry>) {
        if let Ok(index) = self.find(key) {
            let recent = &self.consumers[index].recent;
            let is_new = |id: &str| EntryId::parse(id).map_or(true, |id| !recent.contains(&id));
            entries.retain(|(id, _)| is_new(id));
        }
    }

    /// Saves where a recovery stopped; `None` if it reached the end.
    pub(super) fn save_recovery_cursor(&mut self, key: ConsumerKey<'_>, last: Option<&String>) {
        // Creates the log of a consumer that received nothing yet.
        self.record(key, &[]);
        if let Ok(index) = self.find(key) {
            self.consumers[index].recovery_cursor = last.cloned();
        }
    }

    /// Returns where the consumer's next request must continue a recovery, if it must.
    pub(super) fn recovery_cursor(&self, key: ConsumerKey<'_>) -> Option<String> {
        self.consumers[self.find(key).ok()?].recovery_cursor.clone()
    }

    fn find(&self, key: ConsumerKey<'_>) -> Result<usize, usize> {
        self.consumers.binary_search_by(|log| log.key().cmp(&key))
    }

    fn is_full(&self) -> bool {
        self.consumers.len() >= MAX_CONSUMERS
    }
}

impl ConsumerLog {
    fn new(key: ConsumerKey<'_>) -> Self {
        Self {
            stream: key.stream.to_owned(),
            group: key.group.to_owned(),
            consumer: key.consumer.to_owned(),
            recent: VecDeque::new(),
            older: EntryId::ZERO,
            recovery_cursor: None,
        }
    }

    fn key(&self) -> ConsumerKey<'_> {
        ConsumerKey {
            stream: &self.stream,
            group: &self.group,
            consumer: &self.consumer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ConsumerKey<'_> = ConsumerKey {
        stream: "s",
        group: "g",
        consumer: "c",
    };

    fn entries(ids: impl IntoIterator<Item = u64>) -> Vec<StreamEntry> {
        ids.into_iter()
            .map(|ms| (EntryId::new(ms, 0).into(), vec![]))
            .collect()
    }

    #[test]
    fn an_entry_that_arrived_is_not_new() {
        let mut log = DeliveryLog::default();
        assert_eq!(log.recovery_start(KEY).as_deref(), Some("0-0"));
        log.record(KEY, &entries([6, 7]));
        log.record(KEY, &entries([1, 2]));
        assert_eq!(log.recovery_start(KEY).as_deref(), Some("0-0"));
        let mut found = entries(1..=8);
        log.retain_new(KEY, &mut found);
        assert_eq!(found, entries([3, 4, 5, 8]));
        let other = ConsumerKey {
            consumer: "d",
            ..KEY
        };
        let mut found = entries([1]);
        log.retain_new(other, &mut found);
        assert_eq!(found, entries([1]));
    }

    #[test]
    fn a_recovery_starts_after_the_ids_that_the_log_forgot() {
        let mut log = DeliveryLog::default();
        let many = MAX_IDS as u64 + 10;
        log.record(KEY, &entries(1..=many));
        assert_eq!(log.recovery_start(KEY).as_deref(), Some("10-0"));
        let mut found = entries(10..=many + 1);
        log.retain_new(KEY, &mut found);
        assert_eq!(found, entries([10, many + 1]));
    }

    #[test]
    fn a_full_log_takes_no_new_consumer() {
        let mut log = DeliveryLog::default();
        let names: Vec<String> = (0..=MAX_CONSUMERS).map(|n| n.to_string()).collect();
        let key = |n: usize| ConsumerKey {
            consumer: &names[n],
            ..KEY
        };
        for n in 0..=MAX_CONSUMERS {
            log.record(key(n), &entries([5]));
        }
        assert_eq!(log.recovery_start(key(0)).as_deref(), Some("0-0"));
        assert_eq!(log.recovery_start(key(MAX_CONSUMERS)), None);
        assert_eq!(log.consumers.len(), MAX_CONSUMERS);
    }
}
