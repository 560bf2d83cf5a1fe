//! `XPENDING`: the pending entries of a group and their consumers.

use std::time::{Duration, Instant};

use streamgate_protocol::limits::{MAX_NAME_BYTES, MAX_PENDING_PAGE};
use streamgate_protocol::{PendingEntry, PendingQuery, PendingSummary};

use super::consume::stream_with_group;
use crate::fixture::{DirectRedis, Fixture, code, ids, let_idle};
use crate::malformed_ids::not_a_range_end;

cases![
    a_group_without_deliveries_has_nothing_pending,
    a_summary_counts_the_entries_of_each_consumer,
    acknowledged_entries_are_no_longer_pending,
    entries_are_listed_in_id_order,
    a_list_respects_its_range,
    a_list_respects_its_count,
    a_list_can_be_limited_to_one_consumer,
    a_list_can_be_limited_to_idle_entries,
    the_idle_time_counts_from_the_delivery,
    a_missing_group_or_stream_is_rejected,
    malformed_ends_are_rejected,
    a_count_above_the_limit_is_rejected,
    overlong_names_are_rejected,
    ;
    needs_redis:
    a_key_of_another_type_is_rejected,
];

const HOUR: u64 = 3_600_000;

fn query() -> PendingQuery {
    PendingQuery::default()
}

fn range(start: &str, end: &str) -> PendingQuery {
    query().start(start).end(end)
}

pub(super) async fn summary(f: &Fixture, key: &str) -> PendingSummary {
    f.backend.pending_summary(key, "group").await.unwrap()
}

pub(super) async fn list(f: &Fixture, key: &str, query: PendingQuery) -> Vec<PendingEntry> {
    f.backend.pending(key, "group", query).await.unwrap()
}

/// All pending entries: id, consumer and number of deliveries.
pub(super) async fn all_pending(f: &Fixture, key: &str) -> Vec<(String, String, u64)> {
    let entries = list(f, key, query()).await;
    entries
        .into_iter()
        .map(|e| (e.id, e.consumer.into_text(), e.deliveries))
        .collect()
}

fn pending_ids(entries: &[PendingEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_str()).collect()
}

/// Adds `n` entries to a new stream, and delivers the first `a` to `ann` and the others to `bob`.
async fn pending_for_ann_and_bob(f: &Fixture, a: usize, n: usize) -> (String, Vec<String>) {
    let key = stream_with_group(f).await;
    let added = f.add_in_sequence(&key, n).await.unwrap();
    let read = |consumer, count| {
        f.backend
            .stream_read_group(&key, "group", consumer, count, None)
    };
    assert_eq!(ids(&read("ann", a).await.unwrap()), added[..a]);
    assert_eq!(ids(&read("bob", n - a).await.unwrap()), added[a..]);
    (key, added)
}

/// The summary has no ids either.
async fn a_group_without_deliveries_has_nothing_pending(f: Fixture) {
    let key = stream_with_group(&f).await;
    f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(summary(&f, &key).await, PendingSummary::default());
    assert_eq!(list(&f, &key, query()).await, []);
}

/// Ordered by name, without consumers that have no pending entry.
async fn a_summary_counts_the_entries_of_each_consumer(f: Fixture) {
    let (key, added) = pending_for_ann_and_bob(&f, 2, 5).await;
    assert_eq!(f.read_group_now(&key, "group", "aaa").await.unwrap(), []);
    let expected = PendingSummary::new(
        5,
        Some(added[0].clone()),
        Some(added[4].clone()),
        vec![("ann".into(), 2), ("bob".into(), 3)],
    );
    assert_eq!(summary(&f, &key).await, expected);
}

/// Neither in the summary nor in the list.
async fn acknowledged_entries_are_no_longer_pending(f: Fixture) {
    let (key, added) = pending_for_ann_and_bob(&f, 2, 4).await;
    f.backend
        .stream_ack(&key, "group", &added[..3])
        .await
        .unwrap();
    let summary = summary(&f, &key).await;
    assert_eq!(
        (summary.count, summary.consumers),
        (1, vec![("bob".into(), 1)])
    );
    assert_eq!(pending_ids(&list(&f, &key, query()).await), [&added[3]]);
}

/// Whatever their consumer, and whenever they were delivered.
async fn entries_are_listed_in_id_order(f: Fixture) {
    let (key, added) = pending_for_ann_and_bob(&f, 1, 3).await;
    f.backend
        .claim(&key, "group", "zoe", 0, &added[1], 1)
        .await
        .unwrap();
    let expected = [("ann", 1), ("zoe", 2), ("bob", 1)];
    let expected = added.into_iter().zip(expected);
    let expected: Vec<_> = expected
        .map(|(id, (consumer, n))| (id, consumer.to_owned(), n))
        .collect();
    assert_eq!(all_pending(&f, &key).await, expected);
}

/// The ends are `-`, `+` or ids, inclusive or exclusive after `(`.
async fn a_list_respects_its_range(f: Fixture) {
    let (key, added) = pending_for_ann_and_bob(&f, 2, 5).await;
    let open = |id: &str| format!("({id}");
    for (start, end, expected) in [
        ("-", "+", 0..5),
        ("0", "+", 0..5),
        (&*added[1], "+", 1..5),
        (&*open(&added[1]), "+", 2..5),
        ("-", &*added[3], 0..4),
        ("-", &*open(&added[3]), 0..3),
        (&*added[2], &*added[2], 2..3),
        (&*added[3], &*added[1], 0..0),
        ("+", "-", 0..0),
    ] {
        let entries = list(&f, &key, range(start, end)).await;
        assert_eq!(pending_ids(&entries), added[expected], "{start} to {end}");
    }
}

/// A count of 0 returns nothing, and paging returns everything.
async fn a_list_respects_its_count(f: Fixture) {
    let (key, added) = pending_for_ann_and_bob(&f, 3, 7).await;
    assert_eq!(list(&f, &key, query().count(0)).await, []);
    let (mut start, mut all) = ("-".to_owned(), Vec::new());
    loop {
        let page = query().start(start).count(2);
        let page = list(&f, &key, page).await;
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2, "{page:?}");
        start = format!("({}", last.id);
        all.extend(page.into_iter().map(|entry| entry.id));
        assert!(all.len() <= added.len(), "the pages do not end: {all:?}");
    }
    assert_eq!(all, added);
}

/// The list of a missing consumer is empty.
async fn a_list_can_be_limited_to_one_consumer(f: Fixture) {
    let (key, added) = pending_for_ann_and_bob(&f, 2, 5).await;
    let of = |name: &str| query().consumer(name);
    assert_eq!(pending_ids(&list(&f, &key, of("ann")).await), added[..2]);
    assert_eq!(pending_ids(&list(&f, &key, of("bob")).await), added[2..]);
    assert_eq!(list(&f, &key, of("missing")).await, []);
    let first = of("bob").count(1);
    assert_eq!(pending_ids(&list(&f, &key, first).await), [&added[2]]);
}

async fn a_list_can_be_limited_to_idle_entries(f: Fixture) {
    let (key, added) = pending_for_ann_and_bob(&f, 1, 2).await;
    let_idle(1_500).await;
    f.backend
        .claim(&key, "group", "zoe", 0, &added[1], 1)
        .await
        .unwrap();
    let idle = |min_idle_ms| query().min_idle_ms(min_idle_ms);
    assert_eq!(pending_ids(&list(&f, &key, idle(1_400)).await), [&added[0]]);
    assert_eq!(list(&f, &key, idle(HOUR)).await, []);
}

/// In milliseconds.
async fn the_idle_time_counts_from_the_delivery(f: Fixture) {
    let key = stream_with_group(&f).await;
    f.add(&key, "value").await.unwrap();
    let before = Instant::now();
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let after = Instant::now();
    let_idle(100).await;
    let min = after.elapsed();
    let entries = list(&f, &key, query()).await;
    let idle = Duration::from_millis(entries[0].idle_ms);
    // Tolerance: two clocks are read in whole milliseconds.
    let max = before.elapsed() + Duration::from_millis(2);
    assert!(
        idle + Duration::from_millis(2) >= min && idle <= max,
        "{idle:?}"
    );
}

/// `NOGROUP`.
async fn a_missing_group_or_stream_is_rejected(f: Fixture) {
    let key = stream_with_group(&f).await;
    for (key, group) in [(&*key, "other"), (&*f.key(), "group")] {
        assert_eq!(
            code(&f.backend.pending_summary(key, group).await),
            "NOGROUP"
        );
        assert_eq!(
            code(&f.backend.pending(key, group, query()).await),
            "NOGROUP"
        );
    }
}

/// Before the group is looked up.
async fn malformed_ends_are_rejected(f: Fixture) {
    let key = f.key();
    let long = "1".repeat(200);
    for bad in not_a_range_end().map(str::to_owned).chain([long]) {
        let start = f.backend.pending(&key, "group", range(&bad, "+")).await;
        assert_eq!(code(&start), "ERR", "{bad:?}");
        let end = f.backend.pending(&key, "group", range("-", &bad)).await;
        assert_eq!(code(&end), "ERR", "{bad:?}");
    }
}

/// A count of `MAX_PENDING_PAGE` is accepted.
async fn a_count_above_the_limit_is_rejected(f: Fixture) {
    let (key, added) = pending_for_ann_and_bob(&f, 1, 2).await;
    let page = |count| query().count(count);
    assert_eq!(
        pending_ids(&list(&f, &key, page(MAX_PENDING_PAGE)).await),
        added
    );
    let rejected = f
        .backend
        .pending(&key, "group", page(MAX_PENDING_PAGE + 1))
        .await;
    assert_eq!(code(&rejected), "LIMIT");
}

/// Stream, group and consumer.
async fn overlong_names_are_rejected(f: Fixture) {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    assert_eq!(
        code(&f.backend.pending_summary(&long, "group").await),
        "LIMIT"
    );
    assert_eq!(
        code(&f.backend.pending_summary(&f.key(), &long).await),
        "LIMIT"
    );
    let of = query().consumer(long);
    assert_eq!(
        code(&f.backend.pending(&f.key(), "group", of).await),
        "LIMIT"
    );
}

/// `WRONGTYPE`, by every operation on pending entries.
async fn a_key_of_another_type_is_rejected(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let _: () = redis
        .send(&[b"SET", key.as_bytes(), b"text"])
        .await
        .unwrap();
    assert_eq!(
        code(&f.backend.pending_summary(&key, "group").await),
        "WRONGTYPE"
    );
    assert_eq!(
        code(&f.backend.pending(&key, "group", query()).await),
        "WRONGTYPE"
    );
    let claimed = f.backend.claim(&key, "group", "ann", 0, "0-0", 1).await;
    assert_eq!(code(&claimed), "WRONGTYPE");
    let removed = f.backend.remove_consumer(&key, "group", "ann", "bob").await;
    assert_eq!(code(&removed), "WRONGTYPE");
}
