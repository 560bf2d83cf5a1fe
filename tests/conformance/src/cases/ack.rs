//! `XACK key group id…`.

use crate::fixture::{Fixture, DirectRedis, code, ids};

cases![
    what_was_given_can_be_acknowledged,
    acknowledging_twice_is_no_error,
    an_id_may_be_named_twice,
    no_ids_are_no_error,
    no_ids_on_a_missing_group_are_no_error,
    a_missing_key_is_no_error,
    a_missing_group_is_no_error,
    what_was_not_given_stays_to_be_given,
    an_acknowledged_entry_is_not_given_again,
    a_thousand_ids_are_taken,
    ;
    needs_redis:
    what_was_acknowledged_is_not_pending,
    only_what_was_named_is_acknowledged,
    another_groups_pending_entries_stay,
    another_consumers_entries_can_be_acknowledged,
];

async fn delivered(f: &Fixture, n: usize) -> (String, Vec<String>) {
    let key = f.key();
    let added = f.add_in_sequence(&key, n).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), added);
    (key, added)
}

async fn pending(redis: &DirectRedis, key: &str, group: &str) -> Vec<String> {
    let rows: Vec<(String, String, u64, u64)> = redis
        .send(&[b"XPENDING", key.as_bytes(), group.as_bytes(), b"-", b"+", b"1000"])
        .await
        .unwrap();
    rows.into_iter().map(|(id, ..)| id).collect()
}

/// One or several at once.
async fn what_was_given_can_be_acknowledged(f: Fixture) {
    let (key, added) = delivered(&f, 3).await;
    f.backend.stream_ack(&key, "group", &added[..1]).await.unwrap();
    f.backend.stream_ack(&key, "group", &added[1..]).await.unwrap();
}

/// XACK counts 0.
async fn acknowledging_twice_is_no_error(f: Fixture) {
    let (key, added) = delivered(&f, 2).await;
    for _ in 0..2 {
        f.backend.stream_ack(&key, "group", &added).await.unwrap();
    }
}

/// XACK counts it once.
async fn an_id_may_be_named_twice(f: Fixture) {
    let (key, added) = delivered(&f, 1).await;
    let twice = [added[0].clone(), added[0].clone()];
    f.backend.stream_ack(&key, "group", &twice).await.unwrap();
}

/// Nothing to do; XACK itself would call it a wrong number of arguments.
async fn no_ids_are_no_error(f: Fixture) {
    let (key, _) = delivered(&f, 1).await;
    f.backend.stream_ack(&key, "group", &[]).await.unwrap();
}

/// Nothing to do, so nothing to look for.
async fn no_ids_on_a_missing_group_are_no_error(f: Fixture) {
    f.backend.stream_ack(&f.key(), "group", &[]).await.unwrap();
}

/// XACK counts 0.
async fn a_missing_key_is_no_error(f: Fixture) {
    let key = f.key();
    let acked = f.backend.stream_ack(&key, "group", &["1-1".to_owned()]).await;
    assert_eq!(code(&acked), "OK");
    assert_eq!(code(&f.read_group_now(&key, "group", "consumer").await), "NOGROUP");
}

/// XACK counts 0, unlike XREADGROUP, which is NOGROUP.
async fn a_missing_group_is_no_error(f: Fixture) {
    let (key, added) = delivered(&f, 1).await;
    let acked = f.backend.stream_ack(&key, "another", &added).await;
    assert_eq!(code(&acked), "OK");
}

/// Acknowledging ahead takes nothing away.
async fn what_was_not_given_stays_to_be_given(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), added);
}

/// Nor is one that was not acknowledged: `>` is what is new.
async fn an_acknowledged_entry_is_not_given_again(f: Fixture) {
    let (key, added) = delivered(&f, 3).await;
    f.backend.stream_ack(&key, "group", &added[..1]).await.unwrap();
    for consumer in ["consumer", "another"] {
        assert_eq!(f.read_group_now(&key, "group", consumer).await.unwrap(), []);
    }
}

/// Many at once.
async fn a_thousand_ids_are_taken(f: Fixture) {
    let (key, added) = delivered(&f, 20).await;
    let mut many: Vec<_> = (1..1_000).map(|i| format!("{i}-1")).collect();
    many.extend(added);
    f.backend.stream_ack(&key, "group", &many).await.unwrap();
}

/// XPENDING is empty then.
async fn what_was_acknowledged_is_not_pending(f: Fixture, redis: DirectRedis) {
    let (key, added) = delivered(&f, 3).await;
    assert_eq!(pending(&redis, &key, "group").await, added);
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert!(pending(&redis, &key, "group").await.is_empty());
}

/// Unknown ids among them do not keep the others.
async fn only_what_was_named_is_acknowledged(f: Fixture, redis: DirectRedis) {
    let (key, added) = delivered(&f, 3).await;
    let named = ["1-1".to_owned(), added[1].clone(), "18446744073709551615-1".to_owned()];
    f.backend.stream_ack(&key, "group", &named).await.unwrap();
    let left = [added[0].clone(), added[2].clone()];
    assert_eq!(pending(&redis, &key, "group").await, left);
}

/// Pending lists belong to groups.
async fn another_groups_pending_entries_stay(f: Fixture, redis: DirectRedis) {
    let (key, added) = delivered(&f, 2).await;
    f.backend.stream_create_group(&key, "another", "0").await.unwrap();
    f.read_group_now(&key, "another", "consumer").await.unwrap();
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(pending(&redis, &key, "another").await, added);
}

/// XACK does not ask who.
async fn another_consumers_entries_can_be_acknowledged(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    f.backend.stream_read_group(&key, "group", "one", 1, None).await.unwrap();
    f.backend.stream_read_group(&key, "group", "two", 1, None).await.unwrap();
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert!(pending(&redis, &key, "group").await.is_empty());
}
