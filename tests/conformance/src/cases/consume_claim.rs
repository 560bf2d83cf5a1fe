//! Consumers that reclaim the entries of crashed consumers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use streamgate_protocol::{ConsumeOptions, Deliveries};

use super::claim::all_pending_for_ann;
use super::consume::{consume, next_batch, stream_with_group};
use super::pending::{all_pending, summary};
use crate::fixture::{DirectRedis, Fixture, HANG, assert_keeps_waiting, code, let_idle, parts};

cases![
    entries_of_a_crashed_consumer_are_delivered,
    entries_are_reclaimed_once_they_are_idle_long_enough,
    new_entries_are_delivered_beside_reclaimed_ones,
    batches_do_not_exceed_the_batch_size,
    entries_that_are_not_idle_long_enough_stay,
    a_consumer_does_not_reclaim_its_own_entries,
    entries_of_an_earlier_consumer_of_the_same_name_are_delivered,
    reclaiming_consumers_share_the_entries,
    a_consumer_that_is_not_polled_reclaims_a_bounded_number,
    nothing_is_reclaimed_without_the_option,
    a_missing_group_or_stream_is_rejected,
    conflicting_options_are_rejected,
    ;
    needs_redis:
    deleted_entries_are_not_delivered,
];

const HOUR: u64 = 3_600_000;

/// Consumes from `group` and reclaims entries that were idle for `claim_after_ms`.
pub(super) fn consume_and_reclaim(
    f: &Fixture,
    key: &str,
    consumer: &str,
    after: u64,
) -> Deliveries {
    let options = ConsumeOptions::default().claim_after_ms(after);
    f.backend.consume(key, "group", consumer, options)
}

/// The ids of the next `n` entries, sorted. Reclaimed and new entries come in any order.
pub(super) async fn next_ids_sorted(deliveries: &mut Deliveries, n: usize) -> Vec<String> {
    let mut delivered = Vec::new();
    while delivered.len() < n {
        delivered.extend(next_batch(deliveries).await.into_iter().map(|(id, _)| id));
    }
    delivered.sort_by_key(|id| parts(id));
    delivered
}

/// They count as deliveries and can be acknowledged.
async fn entries_of_a_crashed_consumer_are_delivered(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 5).await;
    let mut deliveries = consume_and_reclaim(&f, &key, "bob", 20);
    assert_eq!(next_ids_sorted(&mut deliveries, 5).await, added);
    let pending = all_pending(&f, &key).await;
    assert!(
        pending
            .iter()
            .all(|(_, consumer, n)| consumer == "bob" && *n == 2),
        "{pending:?}"
    );
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(summary(&f, &key).await.count, 0);
}

/// By a consumer that is already waiting, not only when it starts.
async fn entries_are_reclaimed_once_they_are_idle_long_enough(f: Fixture) {
    let key = stream_with_group(&f).await;
    let mut deliveries = consume_and_reclaim(&f, &key, "bob", 300);
    let first = f.add_in_sequence(&key, 2).await.unwrap();
    assert_eq!(next_ids_sorted(&mut deliveries, 2).await, first);
    f.backend.stream_ack(&key, "group", &first).await.unwrap();
    // `bob` waits, so it receives the new entry. `ann` claims the entry and then crashes.
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(next_ids_sorted(&mut deliveries, 1).await, [&*id]);
    let start = Instant::now();
    f.backend
        .claim(&key, "group", "ann", 0, "0-0", 10)
        .await
        .unwrap();
    assert_eq!(next_ids_sorted(&mut deliveries, 1).await, [&*id]);
    // Tolerance: two clocks are read in whole milliseconds.
    let waited = start.elapsed() + Duration::from_millis(2);
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
    assert_eq!(all_pending(&f, &key).await, [(id, "bob".to_owned(), 3)]);
}

/// Those added before the consumer starts and those added later.
async fn new_entries_are_delivered_beside_reclaimed_ones(f: Fixture) {
    let (key, mut all) = all_pending_for_ann(&f, 50).await;
    all.extend(f.add_in_sequence(&key, 50).await.unwrap());
    let mut deliveries = consume_and_reclaim(&f, &key, "bob", 20);
    assert_eq!(next_ids_sorted(&mut deliveries, 100).await, all);
    for _ in 0..5 {
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(next_ids_sorted(&mut deliveries, 1).await, [id]);
    }
}

/// Batches of reclaimed entries too.
async fn batches_do_not_exceed_the_batch_size(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 250).await;
    let options = ConsumeOptions::default().batch(7).claim_after_ms(20);
    let mut deliveries = f.backend.consume(&key, "group", "bob", options);
    let mut delivered = Vec::new();
    while delivered.len() < added.len() {
        let batch = next_batch(&mut deliveries).await;
        assert!(batch.len() <= 7, "{}", batch.len());
        delivered.extend(batch.into_iter().map(|(id, _)| id));
    }
    delivered.sort_by_key(|id| parts(id));
    assert_eq!(delivered, added);
}

/// The consumer receives new entries meanwhile.
async fn entries_that_are_not_idle_long_enough_stay(f: Fixture) {
    let (key, _) = all_pending_for_ann(&f, 3).await;
    let mut deliveries = consume_and_reclaim(&f, &key, "bob", HOUR);
    assert_keeps_waiting(deliveries.next(), 400).await;
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(next_ids_sorted(&mut deliveries, 1).await, [id]);
    let consumers = summary(&f, &key).await.consumers;
    assert_eq!(consumers, [("ann".into(), 3), ("bob".into(), 1)]);
}

/// Neither new entries nor reclaimed ones, however slow its worker is.
async fn a_consumer_does_not_reclaim_its_own_entries(f: Fixture) {
    let (key, mut all) = all_pending_for_ann(&f, 5).await;
    all.extend(f.add_in_sequence(&key, 5).await.unwrap());
    let mut deliveries = consume_and_reclaim(&f, &key, "bob", 20);
    assert_eq!(next_ids_sorted(&mut deliveries, 10).await, all);
    // Time for many passes over the group, each of which finds all ten entries idle.
    assert_keeps_waiting(deliveries.next(), 1_000).await;
    let pending = all_pending(&f, &key).await;
    let deliveries: Vec<_> = pending.iter().map(|(_, _, n)| *n).collect();
    assert_eq!(deliveries, [2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
}

/// As after a page was reloaded.
async fn entries_of_an_earlier_consumer_of_the_same_name_are_delivered(f: Fixture) {
    let key = stream_with_group(&f).await;
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut earlier = consume(&f, &key, "bob", 64);
    assert_eq!(next_ids_sorted(&mut earlier, 3).await, added);
    drop(earlier);
    // Entries delivered in the millisecond in which the new consumer starts count as its own.
    let_idle(5).await;
    let mut deliveries = consume_and_reclaim(&f, &key, "bob", 300);
    assert_eq!(next_ids_sorted(&mut deliveries, 3).await, added);
    // It does not reclaim from itself.
    assert_keeps_waiting(deliveries.next(), 800).await;
}

/// Each entry goes to one of them.
async fn reclaiming_consumers_share_the_entries(f: Fixture) {
    const N: usize = 300;
    const CLAIM_AFTER: Duration = Duration::from_secs(2);
    let (key, added) = all_pending_for_ann(&f, N).await;
    let start = Instant::now();
    let consumers = (0..3).map(|i| consume_and_reclaim(&f, &key, &format!("consumer{i}"), 2_000));
    let mut all = futures_util::stream::select_all(consumers);
    let mut delivered = BTreeSet::new();
    let mut deliveries = 0;
    while delivered.len() < N {
        let batch = tokio::time::timeout(HANG, all.next()).await;
        let batch = batch.unwrap().unwrap().unwrap();
        let ids: Vec<_> = batch.into_iter().map(|entry| entry.id).collect();
        f.backend.stream_ack(&key, "group", &ids).await.unwrap();
        deliveries += ids.len();
        delivered.extend(ids);
    }
    assert!(
        delivered
            .into_iter()
            .eq(added.into_iter().collect::<BTreeSet<_>>())
    );
    // On a slow machine, entries of one consumer may become idle before it acknowledges them.
    assert!(
        deliveries == N || start.elapsed() > CLAIM_AFTER,
        "{deliveries} deliveries"
    );
    assert_eq!(summary(&f, &key).await.count, 0);
}

/// The rest is left to others.
async fn a_consumer_that_is_not_polled_reclaims_a_bounded_number(f: Fixture) {
    let (key, _) = all_pending_for_ann(&f, 500).await;
    let options = ConsumeOptions::default().batch(5).claim_after_ms(20);
    let mut slow = f.backend.consume(&key, "group", "slow", options);
    next_batch(&mut slow).await;
    // Time to reclaim more than it may.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pending = all_pending(&f, &key).await;
    let slow = pending
        .iter()
        .filter(|(_, consumer, _)| consumer == "slow")
        .count();
    assert!(slow <= 20, "{slow} entries are pending for it");
}

/// Pending entries keep their consumer.
async fn nothing_is_reclaimed_without_the_option(f: Fixture) {
    let (key, _) = all_pending_for_ann(&f, 3).await;
    let mut deliveries = consume(&f, &key, "bob", 64);
    assert_keeps_waiting(deliveries.next(), 400).await;
    assert_eq!(summary(&f, &key).await.consumers, [("ann".into(), 3)]);
}

/// `NOGROUP`.
async fn a_missing_group_or_stream_is_rejected(f: Fixture) {
    let key = stream_with_group(&f).await;
    for (key, group) in [(&*key, "other"), (&*f.key(), "group")] {
        let options = ConsumeOptions::default().claim_after_ms(20);
        let mut deliveries = f.backend.consume(key, group, "bob", options);
        assert_eq!(code(&deliveries.next().await.unwrap()), "NOGROUP");
        assert!(deliveries.next().await.is_none());
    }
}

/// Before any entry is delivered.
async fn conflicting_options_are_rejected(f: Fixture) {
    let key = stream_with_group(&f).await;
    f.add_in_sequence(&key, 1).await.unwrap();
    let other = f.key();
    for (claim_after_ms, max_deliveries, dead_letter) in [
        (Some(0), None, None),
        (Some(20), Some(0), Some(&other)),
        (Some(20), Some(1), None),
        (Some(20), None, Some(&other)),
        (None, Some(1), Some(&other)),
        (None, Some(1), None),
        (None, None, Some(&other)),
        (Some(20), Some(1), Some(&key)),
    ] {
        let mut options = ConsumeOptions::default();
        options.claim_after_ms = claim_after_ms;
        options.max_deliveries = max_deliveries;
        options.dead_letter = dead_letter.map(Into::into);
        let mut deliveries = f.backend.consume(&key, "group", "bob", options.clone());
        assert_eq!(
            code(&deliveries.next().await.unwrap()),
            "ERR",
            "{options:?}"
        );
        assert!(deliveries.next().await.is_none());
    }
    let mut deliveries = consume_and_reclaim(&f, &key, "bob", 1);
    assert_eq!(next_batch(&mut deliveries).await.len(), 1);
    assert!(deliveries.next().now_or_never().is_none());
}

/// And they are no longer pending.
async fn deleted_entries_are_not_delivered(f: Fixture, redis: DirectRedis) {
    let (key, added) = all_pending_for_ann(&f, 4).await;
    for id in &added[1..3] {
        let _: u64 = redis
            .send(&[b"XDEL", key.as_bytes(), id.as_bytes()])
            .await
            .unwrap();
    }
    let mut deliveries = consume_and_reclaim(&f, &key, "bob", 20);
    assert_eq!(
        next_ids_sorted(&mut deliveries, 2).await,
        [&*added[0], &*added[3]]
    );
    assert_eq!(summary(&f, &key).await.consumers, [("bob".into(), 2)]);
}
