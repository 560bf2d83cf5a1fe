//! Pending entries that another consumer takes over.

use streamgate_protocol::Claimed;
use streamgate_protocol::limits::{MAX_NAME_BYTES, MAX_PENDING_PAGE};

use super::consume::group;
use super::pending::{held, list, summary};
use crate::fixture::{Fixture, DirectRedis, code, ids};

cases![
    what_others_hold_is_given_and_counted_as_a_delivery,
    what_is_not_idle_for_long_enough_is_left,
    a_claim_begins_the_time_anew,
    the_cursor_leads_once_round,
    a_claim_looks_at_ten_times_its_count,
    a_claim_begins_at_its_start,
    a_consumer_may_claim_what_it_holds_itself,
    what_is_claimed_can_be_acknowledged,
    trimmed_entries_are_named_and_not_pending_any_more,
    a_group_that_was_read_by_nobody_has_nothing_to_claim,
    a_group_or_a_stream_that_is_missing_is_an_error,
    a_count_of_0_and_a_page_that_is_too_large_are_refused,
    starts_that_are_no_ids_are_refused,
    names_that_are_too_long_are_refused,
    ;
    needs_redis:
    deleted_entries_are_named_and_not_pending_any_more,
];

const HOUR: u64 = 3_600_000;

/// A group of which `ann` holds everything.
pub(super) async fn held_by_ann(f: &Fixture, n: usize) -> (String, Vec<String>) {
    let key = group(f).await;
    let added = f.add_concurrently(&key, n).await.unwrap();
    assert_eq!(ids(&f.read_group_now(&key, "group", "ann").await.unwrap()), added);
    (key, added)
}

async fn claim(f: &Fixture, key: &str, idle: u64, start: &str, count: usize) -> Claimed {
    f.backend.claim(key, "group", "bob", idle, start, count).await.unwrap()
}

/// With their fields.
async fn what_others_hold_is_given_and_counted_as_a_delivery(f: Fixture) {
    let (key, added) = held_by_ann(&f, 3).await;
    let claimed = claim(&f, &key, 0, "0-0", 10).await;
    assert_eq!(claimed.entries, f.read(&key, "0").await.unwrap());
    assert_eq!((&*claimed.cursor, claimed.deleted), ("0-0", vec![]));
    let expected: Vec<_> = added.into_iter().map(|id| (id, "bob".to_owned(), 2)).collect();
    assert_eq!(held(&f, &key).await, expected);
}

/// With whom it is.
async fn what_is_not_idle_for_long_enough_is_left(f: Fixture) {
    let (key, _) = held_by_ann(&f, 3).await;
    let claimed = claim(&f, &key, HOUR, "0-0", 10).await;
    assert_eq!((claimed.entries, &*claimed.cursor), (vec![], "0-0"));
    assert_eq!(summary(&f, &key).await.consumers, [("ann".to_owned(), 3)]);
}

/// So nobody takes it over at once again.
async fn a_claim_begins_the_time_anew(f: Fixture) {
    let (key, _) = held_by_ann(&f, 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(claim(&f, &key, 1_400, "0-0", 10).await.entries.len(), 1);
    assert_eq!(claim(&f, &key, 1_400, "0-0", 10).await.entries, []);
    assert!(list(&f, &key, Default::default()).await[0].idle_ms < 1_400);
}

/// Everything once, and then `0-0`.
async fn the_cursor_leads_once_round(f: Fixture) {
    let (key, added) = held_by_ann(&f, 10).await;
    let (mut cursor, mut all) = ("0-0".to_owned(), Vec::new());
    loop {
        let claimed = claim(&f, &key, 0, &cursor, 3).await;
        assert!(claimed.entries.len() <= 3, "{claimed:?}");
        all.extend(claimed.entries.into_iter().map(|(id, _)| id));
        cursor = claimed.cursor;
        if cursor == "0-0" {
            break;
        }
        assert!(all.len() < added.len(), "it has no end: {all:?}");
        assert_eq!(cursor, added[all.len()]);
    }
    assert_eq!(all, added);
}

/// In vain too, so that it has an end.
async fn a_claim_looks_at_ten_times_its_count(f: Fixture) {
    let (key, added) = held_by_ann(&f, 21).await;
    let first = claim(&f, &key, HOUR, "0-0", 2).await;
    assert_eq!((first.entries, first.cursor), (vec![], added[20].clone()));
    let second = claim(&f, &key, HOUR, &added[20], 2).await;
    assert_eq!((second.entries, &*second.cursor), (vec![], "0-0"));
}

/// That included, unless it says otherwise.
async fn a_claim_begins_at_its_start(f: Fixture) {
    let (key, added) = held_by_ann(&f, 4).await;
    assert_eq!(ids(&claim(&f, &key, 0, &format!("({}", added[2]), 10).await.entries), added[3..]);
    assert_eq!(ids(&claim(&f, &key, 0, &added[2], 10).await.entries), added[2..]);
    assert_eq!(ids(&claim(&f, &key, 0, "-", 10).await.entries), added);
}

/// As in Redis.
async fn a_consumer_may_claim_what_it_holds_itself(f: Fixture) {
    let (key, added) = held_by_ann(&f, 2).await;
    let claimed = f.backend.claim(&key, "group", "ann", 0, "0-0", 10).await.unwrap();
    assert_eq!(ids(&claimed.entries), added);
    assert!(held(&f, &key).await.iter().all(|(_, who, n)| who == "ann" && *n == 2));
}

/// As what was read.
async fn what_is_claimed_can_be_acknowledged(f: Fixture) {
    let (key, added) = held_by_ann(&f, 3).await;
    claim(&f, &key, 0, "0-0", 10).await;
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(summary(&f, &key).await.count, 0);
    assert_eq!(claim(&f, &key, 0, "0-0", 10).await.entries, []);
}

/// Without being given. Redis trims about as many as it is asked to, so not all.
async fn trimmed_entries_are_named_and_not_pending_any_more(f: Fixture) {
    let (key, added) = held_by_ann(&f, 350).await;
    f.backend.stream_add(&key, crate::fixture::pairs(&[("value", "last")]), Some(0)).await.unwrap();
    let claimed = claim(&f, &key, 0, "0-0", 1_000).await;
    let (gone, left) = added.split_at(claimed.deleted.len());
    assert!(gone.len() >= 100, "only {} were trimmed", gone.len());
    assert_eq!(claimed.deleted, gone);
    assert_eq!(ids(&claimed.entries), left);
    assert_eq!(summary(&f, &key).await.count, left.len() as u64);
    assert_eq!(claim(&f, &key, 0, "0-0", 1_000).await.deleted, Vec::<String>::new());
}

/// Which is no error.
async fn a_group_that_was_read_by_nobody_has_nothing_to_claim(f: Fixture) {
    let key = group(&f).await;
    f.add_in_sequence(&key, 3).await.unwrap();
    let claimed = claim(&f, &key, 0, "0-0", 10).await;
    assert_eq!((claimed.entries, &*claimed.cursor), (vec![], "0-0"));
}

/// `NOGROUP`.
async fn a_group_or_a_stream_that_is_missing_is_an_error(f: Fixture) {
    let key = group(&f).await;
    for (key, group) in [(&*key, "other"), (&*f.key(), "group")] {
        let claimed = f.backend.claim(key, group, "bob", 0, "0-0", 1).await;
        assert_eq!(code(&claimed), "NOGROUP");
    }
}

/// The largest page is not.
async fn a_count_of_0_and_a_page_that_is_too_large_are_refused(f: Fixture) {
    let (key, added) = held_by_ann(&f, 2).await;
    for (count, expected) in [(0, "ERR"), (MAX_PENDING_PAGE + 1, "LIMIT")] {
        let refused = f.backend.claim(&key, "group", "bob", 0, "0-0", count).await;
        assert_eq!(code(&refused), expected);
    }
    assert_eq!(ids(&claim(&f, &key, 0, "0-0", MAX_PENDING_PAGE).await.entries), added);
}

/// Before the group is looked for.
async fn starts_that_are_no_ids_are_refused(f: Fixture) {
    for bad in ["", "x", "5-", "(", "$", "(-", "+5", " 5", "5--0", "5\0-7"] {
        let refused = f.backend.claim(&f.key(), "group", "bob", 0, bad, 1).await;
        assert_eq!(code(&refused), "ERR", "{bad:?}");
    }
}

/// Each of the three.
async fn names_that_are_too_long_are_refused(f: Fixture) {
    let (key, long) = (f.key(), "n".repeat(MAX_NAME_BYTES + 1));
    let names = [[&*long, "group", "bob"], [&*key, &*long, "bob"], [&*key, "group", &*long]];
    for [stream, group, consumer] in names {
        let refused = f.backend.claim(stream, group, consumer, 0, "0-0", 1).await;
        assert_eq!(code(&refused), "LIMIT");
    }
}

/// Without being given.
async fn deleted_entries_are_named_and_not_pending_any_more(f: Fixture, redis: DirectRedis) {
    let (key, added) = held_by_ann(&f, 4).await;
    for id in &added[1..3] {
        let _: u64 = redis.send(&[b"XDEL", key.as_bytes(), id.as_bytes()]).await.unwrap();
    }
    assert_eq!(summary(&f, &key).await.count, 4);
    let claimed = claim(&f, &key, 0, "0-0", 10).await;
    assert_eq!(ids(&claimed.entries), [&added[0], &added[3]]);
    assert_eq!(claimed.deleted, added[1..3]);
    assert_eq!(summary(&f, &key).await.consumers, [("bob".to_owned(), 2)]);
}
