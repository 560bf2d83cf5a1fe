//! Tests of the log of deliveries.

use super::consumer_log::MAX_IDS;
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

/// Returns one name more than the log remembers.
fn consumer_names() -> Vec<String> {
    (0..=MAX_CONSUMERS).map(|n| n.to_string()).collect()
}

fn key_of(consumer: &str) -> ConsumerKey<'_> {
    ConsumerKey {
        consumer: consumer.as_bytes(),
        ..KEY
    }
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
    let names = consumer_names();
    let key = |n: usize| key_of(&names[n]);
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
    let names = consumer_names();
    let key = |n: usize| key_of(&names[n]);
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
