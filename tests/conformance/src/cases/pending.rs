//! What is pending in a group, and who holds it.

use std::time::{Duration, Instant};

use streamgate_protocol::limits::{MAX_NAME_BYTES, MAX_PENDING_PAGE};
use streamgate_protocol::{PendingEntry, PendingQuery, PendingSummary};

use super::consume::group;
use crate::fixture::{Fixture, DirectRedis, code, ids};

cases![
    a_group_that_was_read_by_nobody_has_nothing_pending,
    a_summary_counts_for_each_consumer_what_it_holds,
    what_is_acknowledged_is_not_pending,
    entries_are_listed_in_the_order_of_their_ids,
    a_list_keeps_within_its_ends,
    a_list_is_no_longer_than_was_asked,
    a_list_of_one_consumer_has_no_other,
    a_list_has_only_what_is_idle_for_long_enough,
    the_time_goes_on_from_the_delivery,
    a_group_or_a_stream_that_is_missing_is_an_error,
    ends_that_are_no_ids_are_refused,
    a_page_that_is_too_large_is_refused,
    names_that_are_too_long_are_refused,
    ;
    needs_redis:
    a_key_that_is_no_stream_is_refused,
];

const HOUR: u64 = 3_600_000;

fn query() -> PendingQuery {
    PendingQuery::default()
}

fn within(start: &str, end: &str) -> PendingQuery {
    query().start(start).end(end)
}

pub(super) async fn summary(f: &Fixture, key: &str) -> PendingSummary {
    f.backend.pending_summary(key, "group").await.unwrap()
}

pub(super) async fn list(f: &Fixture, key: &str, query: PendingQuery) -> Vec<PendingEntry> {
    f.backend.pending(key, "group", query).await.unwrap()
}

/// Everything that is pending: id, consumer, deliveries.
pub(super) async fn held(f: &Fixture, key: &str) -> Vec<(String, String, u64)> {
    let entries = list(f, key, query()).await;
    entries.into_iter().map(|e| (e.id, e.consumer, e.deliveries)).collect()
}

fn listed(entries: &[PendingEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_str()).collect()
}

/// So many entries, the first `a` of them held by `ann`, the others by `bob`.
async fn shared(f: &Fixture, a: usize, n: usize) -> (String, Vec<String>) {
    let key = group(f).await;
    let added = f.add_in_sequence(&key, n).await.unwrap();
    let read = |consumer, count| f.backend.stream_read_group(&key, "group", consumer, count, None);
    assert_eq!(ids(&read("ann", a).await.unwrap()), added[..a]);
    assert_eq!(ids(&read("bob", n - a).await.unwrap()), added[a..]);
    (key, added)
}

/// No ids either.
async fn a_group_that_was_read_by_nobody_has_nothing_pending(f: Fixture) {
    let key = group(&f).await;
    f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(summary(&f, &key).await, PendingSummary::default());
    assert_eq!(list(&f, &key, query()).await, []);
}

/// By name, and those that hold nothing are left out.
async fn a_summary_counts_for_each_consumer_what_it_holds(f: Fixture) {
    let (key, added) = shared(&f, 2, 5).await;
    assert_eq!(f.read_group_now(&key, "group", "aaa").await.unwrap(), []);
    let expected = PendingSummary::new(
        5,
        Some(added[0].clone()),
        Some(added[4].clone()),
        vec![("ann".to_owned(), 2), ("bob".to_owned(), 3)],
    );
    assert_eq!(summary(&f, &key).await, expected);
}

/// In both.
async fn what_is_acknowledged_is_not_pending(f: Fixture) {
    let (key, added) = shared(&f, 2, 4).await;
    f.backend.stream_ack(&key, "group", &added[..3]).await.unwrap();
    let summary = summary(&f, &key).await;
    assert_eq!((summary.count, summary.consumers), (1, vec![("bob".to_owned(), 1)]));
    assert_eq!(listed(&list(&f, &key, query()).await), [&added[3]]);
}

/// Whoever holds them, and whenever they were delivered.
async fn entries_are_listed_in_the_order_of_their_ids(f: Fixture) {
    let (key, added) = shared(&f, 1, 3).await;
    f.backend.claim(&key, "group", "zoe", 0, &added[1], 1).await.unwrap();
    let expected = [("ann", 1), ("zoe", 2), ("bob", 1)];
    let expected = added.into_iter().zip(expected);
    let expected: Vec<_> = expected.map(|(id, (who, n))| (id, who.to_owned(), n)).collect();
    assert_eq!(held(&f, &key).await, expected);
}

/// Which are ids, with or without themselves, or signs.
async fn a_list_keeps_within_its_ends(f: Fixture) {
    let (key, added) = shared(&f, 2, 5).await;
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
        let entries = list(&f, &key, within(start, end)).await;
        assert_eq!(listed(&entries), added[expected], "{start} to {end}");
    }
}

/// Nothing for 0; and page by page it is all of it.
async fn a_list_is_no_longer_than_was_asked(f: Fixture) {
    let (key, added) = shared(&f, 3, 7).await;
    assert_eq!(list(&f, &key, query().count(0)).await, []);
    let (mut start, mut all) = ("-".to_owned(), Vec::new());
    loop {
        let page = query().start(start).count(2);
        let page = list(&f, &key, page).await;
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2, "{page:?}");
        start = format!("({}", last.id);
        all.extend(page.into_iter().map(|entry| entry.id));
        assert!(all.len() <= added.len(), "it has no end: {all:?}");
    }
    assert_eq!(all, added);
}

/// And one that is missing holds nothing.
async fn a_list_of_one_consumer_has_no_other(f: Fixture) {
    let (key, added) = shared(&f, 2, 5).await;
    let of = |name: &str| query().consumer(name);
    assert_eq!(listed(&list(&f, &key, of("ann")).await), added[..2]);
    assert_eq!(listed(&list(&f, &key, of("bob")).await), added[2..]);
    assert_eq!(list(&f, &key, of("nobody")).await, []);
    let first = of("bob").count(1);
    assert_eq!(listed(&list(&f, &key, first).await), [&added[2]]);
}

/// Which an hour is not.
async fn a_list_has_only_what_is_idle_for_long_enough(f: Fixture) {
    let (key, added) = shared(&f, 1, 2).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    f.backend.claim(&key, "group", "zoe", 0, &added[1], 1).await.unwrap();
    let idle = |min_idle_ms| query().min_idle_ms(min_idle_ms);
    assert_eq!(listed(&list(&f, &key, idle(1_400)).await), [&added[0]]);
    assert_eq!(list(&f, &key, idle(HOUR)).await, []);
}

/// In milliseconds.
async fn the_time_goes_on_from_the_delivery(f: Fixture) {
    let key = group(&f).await;
    f.add(&key, "value").await.unwrap();
    let before = Instant::now();
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let after = Instant::now();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let least = after.elapsed();
    let entries = list(&f, &key, query()).await;
    let idle = Duration::from_millis(entries[0].idle_ms);
    // Two clocks that are read in whole milliseconds.
    let most = before.elapsed() + Duration::from_millis(2);
    assert!(idle + Duration::from_millis(2) >= least && idle <= most, "{idle:?}");
}

/// `NOGROUP`.
async fn a_group_or_a_stream_that_is_missing_is_an_error(f: Fixture) {
    let key = group(&f).await;
    for (key, group) in [(&*key, "other"), (&*f.key(), "group")] {
        assert_eq!(code(&f.backend.pending_summary(key, group).await), "NOGROUP");
        assert_eq!(code(&f.backend.pending(key, group, query()).await), "NOGROUP");
    }
}

/// Before the group is looked for.
async fn ends_that_are_no_ids_are_refused(f: Fixture) {
    let key = f.key();
    let long = "1".repeat(200);
    let odd = ["+5", " 5", "5--0", "5\0-7", "( 5", "(+5", "-\0", "+\0"];
    for bad in ["", "x", "5-", "(", "$", "(-", "(+", "*", "5-3-1", &*long].into_iter().chain(odd) {
        let start = f.backend.pending(&key, "group", within(bad, "+")).await;
        assert_eq!(code(&start), "ERR", "{bad:?}");
        let end = f.backend.pending(&key, "group", within("-", bad)).await;
        assert_eq!(code(&end), "ERR", "{bad:?}");
    }
}

/// The largest is not.
async fn a_page_that_is_too_large_is_refused(f: Fixture) {
    let (key, added) = shared(&f, 1, 2).await;
    let page = |count| query().count(count);
    assert_eq!(listed(&list(&f, &key, page(MAX_PENDING_PAGE)).await), added);
    let refused = f.backend.pending(&key, "group", page(MAX_PENDING_PAGE + 1)).await;
    assert_eq!(code(&refused), "LIMIT");
}

/// Each of the three.
async fn names_that_are_too_long_are_refused(f: Fixture) {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    assert_eq!(code(&f.backend.pending_summary(&long, "group").await), "LIMIT");
    assert_eq!(code(&f.backend.pending_summary(&f.key(), &long).await), "LIMIT");
    let of = query().consumer(long);
    assert_eq!(code(&f.backend.pending(&f.key(), "group", of).await), "LIMIT");
}

/// `WRONGTYPE`, of each operation on what is pending.
async fn a_key_that_is_no_stream_is_refused(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let _: () = redis.send(&[b"SET", key.as_bytes(), b"text"]).await.unwrap();
    assert_eq!(code(&f.backend.pending_summary(&key, "group").await), "WRONGTYPE");
    assert_eq!(code(&f.backend.pending(&key, "group", query()).await), "WRONGTYPE");
    let claimed = f.backend.claim(&key, "group", "ann", 0, "0-0", 1).await;
    assert_eq!(code(&claimed), "WRONGTYPE");
    let removed = f.backend.remove_consumer(&key, "group", "ann", "bob").await;
    assert_eq!(code(&removed), "WRONGTYPE");
}
