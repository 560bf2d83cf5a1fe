//! `XAUTOCLAIM`: pending entries get a new consumer.

use std::time::{Duration, Instant};

use streamgate_protocol::Claimed;
use streamgate_protocol::limits::{MAX_NAME_BYTES, MAX_PENDING_PAGE};

use super::consume::stream_with_group;
use super::pending::{all_pending, list, summary};
use crate::malformed_ids::not_an_id;
use crate::fixture::{DirectRedis, Fixture, as_text, code, ids, let_idle};

cases![
    claiming_returns_entries_and_counts_a_delivery,
    entries_that_are_not_idle_long_enough_stay,
    claiming_resets_the_idle_time,
    the_cursor_visits_each_entry_once,
    a_claim_scans_at_most_ten_times_its_count,
    a_claim_begins_at_its_start_id,
    a_consumer_may_claim_its_own_entries,
    claimed_entries_can_be_acknowledged,
    trimmed_entries_are_reported_and_no_longer_pending,
    a_group_without_deliveries_has_nothing_to_claim,
    a_missing_group_or_stream_is_rejected,
    a_count_of_0_or_above_the_limit_is_rejected,
    a_malformed_start_is_rejected,
    overlong_names_are_rejected,
    ;
    needs_redis:
    deleted_entries_are_reported_and_no_longer_pending,
];

const HOUR: u64 = 3_600_000;

/// Adds `n` entries to a new stream and delivers them to the consumer `ann` of `group`.
pub(super) async fn all_pending_for_ann(f: &Fixture, n: usize) -> (String, Vec<String>) {
    let key = stream_with_group(f).await;
    let added = f.add_concurrently(&key, n).await.unwrap();
    let mut delivered = Vec::new();
    // A backend may deliver fewer than there are, but at least one.
    while delivered.len() < n {
        let found = f.read_group_now(&key, "group", "ann").await.unwrap();
        assert!(!found.is_empty(), "{} of {n} were delivered", delivered.len());
        delivered.extend(found.into_iter().map(|(id, _)| id));
    }
    assert_eq!(delivered, added);
    (key, added)
}

/// Claims for the consumer `bob`.
async fn claim(f: &Fixture, key: &str, idle: u64, start: &str, count: usize) -> Claimed {
    f.backend
        .claim(key, "group", "bob", idle, start, count)
        .await
        .unwrap()
}

/// The entries come with their fields.
async fn claiming_returns_entries_and_counts_a_delivery(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 3).await;
    let claimed = claim(&f, &key, 0, "0-0", 10).await;
    assert_eq!(as_text(claimed.entries), f.read(&key, "0").await.unwrap());
    assert_eq!((&*claimed.cursor, claimed.deleted), ("0-0", vec![]));
    let expected: Vec<_> = added
        .into_iter()
        .map(|id| (id, "bob".to_owned(), 2))
        .collect();
    assert_eq!(all_pending(&f, &key).await, expected);
}

/// They keep their consumer.
async fn entries_that_are_not_idle_long_enough_stay(f: Fixture) {
    let (key, _) = all_pending_for_ann(&f, 3).await;
    let claimed = claim(&f, &key, HOUR, "0-0", 10).await;
    assert_eq!((claimed.entries, &*claimed.cursor), (vec![], "0-0"));
    assert_eq!(summary(&f, &key).await.consumers, [("ann".into(), 3)]);
}

/// So nobody reclaims the entry at once.
async fn claiming_resets_the_idle_time(f: Fixture) {
    let (key, _) = all_pending_for_ann(&f, 1).await;
    let_idle(1_500).await;
    let start = Instant::now();
    assert_eq!(claim(&f, &key, 1_400, "0-0", 10).await.entries.len(), 1);
    let idle = Duration::from_millis(list(&f, &key, Default::default()).await[0].idle_ms);
    // Redis counts whole milliseconds.
    assert!(idle <= start.elapsed() + Duration::from_millis(1), "{idle:?}");
}

/// After the last page the cursor is `0-0`.
async fn the_cursor_visits_each_entry_once(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 10).await;
    let (mut cursor, mut all) = ("0-0".to_owned(), Vec::new());
    loop {
        let claimed = claim(&f, &key, 0, &cursor, 3).await;
        assert!(claimed.entries.len() <= 3, "{claimed:?}");
        all.extend(claimed.entries.into_iter().map(|entry| entry.id));
        cursor = claimed.cursor;
        if cursor == "0-0" {
            break;
        }
        assert!(all.len() < added.len(), "the cursor does not end: {all:?}");
        assert_eq!(cursor, added[all.len()]);
    }
    assert_eq!(all, added);
}

/// Also if it finds no idle entry, so that one claim is bounded.
async fn a_claim_scans_at_most_ten_times_its_count(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 21).await;
    let first = claim(&f, &key, HOUR, "0-0", 2).await;
    assert_eq!((first.entries, first.cursor), (vec![], added[20].clone()));
    let second = claim(&f, &key, HOUR, &added[20], 2).await;
    assert_eq!((second.entries, &*second.cursor), (vec![], "0-0"));
}

/// Inclusive.
async fn a_claim_begins_at_its_start_id(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 4).await;
    assert_eq!(
        ids(&claim(&f, &key, 0, &added[2], 10).await.entries),
        added[2..]
    );
    assert_eq!(ids(&claim(&f, &key, 0, "0", 10).await.entries), added);
}

/// As in Redis.
async fn a_consumer_may_claim_its_own_entries(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 2).await;
    let claimed = f
        .backend
        .claim(&key, "group", "ann", 0, "0-0", 10)
        .await
        .unwrap();
    assert_eq!(ids(&claimed.entries), added);
    assert!(
        all_pending(&f, &key)
            .await
            .iter()
            .all(|(_, consumer, n)| consumer == "ann" && *n == 2)
    );
}

async fn claimed_entries_can_be_acknowledged(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 3).await;
    claim(&f, &key, 0, "0-0", 10).await;
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(summary(&f, &key).await.count, 0);
    assert_eq!(claim(&f, &key, 0, "0-0", 10).await.entries, []);
}

/// A claim lists their ids. Redis trims approximately, so some entries are left.
async fn trimmed_entries_are_reported_and_no_longer_pending(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 350).await;
    f.backend
        .stream_add(&key, crate::fixture::pairs(&[("value", "last")]), Some(0))
        .await
        .unwrap();
    let claimed = claim(&f, &key, 0, "0-0", 1_000).await;
    let (trimmed, remaining) = added.split_at(claimed.deleted.len());
    assert!(trimmed.len() >= 100, "only {} were trimmed", trimmed.len());
    assert_eq!(claimed.deleted, trimmed);
    assert_eq!(ids(&claimed.entries), remaining);
    assert_eq!(summary(&f, &key).await.count, remaining.len() as u64);
    assert_eq!(
        claim(&f, &key, 0, "0-0", 1_000).await.deleted,
        Vec::<String>::new()
    );
}

/// This is not an error.
async fn a_group_without_deliveries_has_nothing_to_claim(f: Fixture) {
    let key = stream_with_group(&f).await;
    f.add_in_sequence(&key, 3).await.unwrap();
    let claimed = claim(&f, &key, 0, "0-0", 10).await;
    assert_eq!((claimed.entries, &*claimed.cursor), (vec![], "0-0"));
}

/// `NOGROUP`.
async fn a_missing_group_or_stream_is_rejected(f: Fixture) {
    let key = stream_with_group(&f).await;
    for (key, group) in [(&*key, "other"), (&*f.key(), "group")] {
        let claimed = f.backend.claim(key, group, "bob", 0, "0-0", 1).await;
        assert_eq!(code(&claimed), "NOGROUP");
    }
}

/// A count of `MAX_PENDING_PAGE` is accepted.
async fn a_count_of_0_or_above_the_limit_is_rejected(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 2).await;
    for (count, expected) in [(0, "ERR"), (MAX_PENDING_PAGE + 1, "LIMIT")] {
        let rejected = f.backend.claim(&key, "group", "bob", 0, "0-0", count).await;
        assert_eq!(code(&rejected), expected);
    }
    assert_eq!(
        ids(&claim(&f, &key, 0, "0-0", MAX_PENDING_PAGE).await.entries),
        added
    );
}

/// Before the group is looked up.
async fn a_malformed_start_is_rejected(f: Fixture) {
    for bad in not_an_id() {
        let rejected = f.backend.claim(&f.key(), "group", "bob", 0, bad, 1).await;
        assert_eq!(code(&rejected), "ERR", "{bad:?}");
    }
}

/// Stream, group and consumer.
async fn overlong_names_are_rejected(f: Fixture) {
    let (key, long) = (f.key(), "n".repeat(MAX_NAME_BYTES + 1));
    let names = [
        [&*long, "group", "bob"],
        [&*key, &*long, "bob"],
        [&*key, "group", &*long],
    ];
    for [stream, group, consumer] in names {
        let rejected = f.backend.claim(stream, group, consumer, 0, "0-0", 1).await;
        assert_eq!(code(&rejected), "LIMIT");
    }
}

/// A claim lists their ids instead of delivering them.
async fn deleted_entries_are_reported_and_no_longer_pending(f: Fixture, redis: DirectRedis) {
    let (key, added) = all_pending_for_ann(&f, 4).await;
    for id in &added[1..3] {
        let _: u64 = redis
            .send(&[b"XDEL", key.as_bytes(), id.as_bytes()])
            .await
            .unwrap();
    }
    assert_eq!(summary(&f, &key).await.count, 4);
    let claimed = claim(&f, &key, 0, "0-0", 10).await;
    assert_eq!(ids(&claimed.entries), [&added[0], &added[3]]);
    assert_eq!(claimed.deleted, added[1..3]);
    assert_eq!(summary(&f, &key).await.consumers, [("bob".into(), 2)]);
}
