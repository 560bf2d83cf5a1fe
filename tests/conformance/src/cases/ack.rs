//! `XACK key group id…`.

use crate::fixture::{DirectRedis, Fixture, code, ids};

cases![
    delivered_entries_can_be_acknowledged,
    acknowledging_twice_succeeds,
    an_id_may_be_repeated,
    an_empty_list_of_ids_succeeds,
    an_empty_list_of_ids_succeeds_on_a_missing_group,
    acknowledging_on_a_missing_key_succeeds,
    acknowledging_in_a_missing_group_succeeds,
    acknowledging_undelivered_entries_has_no_effect,
    neither_acknowledged_nor_pending_entries_are_redelivered,
    a_thousand_ids_are_accepted,
    entries_that_were_pending_are_counted,
    ;
    needs_redis:
    acknowledged_entries_are_no_longer_pending,
    only_the_given_ids_are_acknowledged,
    pending_entries_of_other_groups_stay,
    pending_entries_of_any_consumer_can_be_acknowledged,
];

/// Adds `n` entries to a new stream and delivers them to `consumer` of `group`.
pub(super) async fn add_and_deliver(f: &Fixture, n: usize) -> (String, Vec<String>) {
    let key = f.key();
    let added = f.add_in_sequence(&key, n).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
        added
    );
    (key, added)
}

/// The ids that `XPENDING` lists.
async fn pending(redis: &DirectRedis, key: &str, group: &str) -> Vec<String> {
    let rows: Vec<(String, String, u64, u64)> = redis
        .send(&[
            b"XPENDING",
            key.as_bytes(),
            group.as_bytes(),
            b"-",
            b"+",
            b"1000",
        ])
        .await
        .unwrap();
    rows.into_iter().map(|(id, ..)| id).collect()
}

/// One at a time or several in one call.
async fn delivered_entries_can_be_acknowledged(f: Fixture) {
    let (key, added) = add_and_deliver(&f, 3).await;
    f.backend
        .stream_ack(&key, "group", &added[..1])
        .await
        .unwrap();
    f.backend
        .stream_ack(&key, "group", &added[1..])
        .await
        .unwrap();
}

/// The second `XACK` counts 0.
async fn acknowledging_twice_succeeds(f: Fixture) {
    let (key, added) = add_and_deliver(&f, 2).await;
    for _ in 0..2 {
        f.backend.stream_ack(&key, "group", &added).await.unwrap();
    }
}

/// `XACK` counts it once.
async fn an_id_may_be_repeated(f: Fixture) {
    let (key, added) = add_and_deliver(&f, 1).await;
    let twice = [added[0].clone(), added[0].clone()];
    f.backend.stream_ack(&key, "group", &twice).await.unwrap();
}

/// Redis itself would answer with a wrong number of arguments.
async fn an_empty_list_of_ids_succeeds(f: Fixture) {
    let (key, _) = add_and_deliver(&f, 1).await;
    f.backend.stream_ack(&key, "group", &[]).await.unwrap();
}

/// Without ids the backend looks for no group.
async fn an_empty_list_of_ids_succeeds_on_a_missing_group(f: Fixture) {
    f.backend.stream_ack(&f.key(), "group", &[]).await.unwrap();
}

/// `XACK` counts 0.
async fn acknowledging_on_a_missing_key_succeeds(f: Fixture) {
    let key = f.key();
    let acked = f
        .backend
        .stream_ack(&key, "group", &["1-1".to_owned()])
        .await;
    assert_eq!(code(&acked), "OK");
    assert_eq!(
        code(&f.read_group_now(&key, "group", "consumer").await),
        "NOGROUP"
    );
}

/// `XACK` counts 0, whereas `XREADGROUP` fails with `NOGROUP`.
async fn acknowledging_in_a_missing_group_succeeds(f: Fixture) {
    let (key, added) = add_and_deliver(&f, 1).await;
    let acked = f.backend.stream_ack(&key, "another", &added).await;
    assert_eq!(code(&acked), "OK");
}

/// They are delivered afterwards.
async fn acknowledging_undelivered_entries_has_no_effect(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
        added
    );
}

/// `>` means new entries only.
async fn neither_acknowledged_nor_pending_entries_are_redelivered(f: Fixture) {
    let (key, added) = add_and_deliver(&f, 3).await;
    f.backend
        .stream_ack(&key, "group", &added[..1])
        .await
        .unwrap();
    for consumer in ["consumer", "another"] {
        assert_eq!(f.read_group_now(&key, "group", consumer).await.unwrap(), []);
    }
}

/// In one call.
async fn a_thousand_ids_are_accepted(f: Fixture) {
    let (key, added) = add_and_deliver(&f, 20).await;
    let mut many: Vec<_> = (1..1_000).map(|i| format!("{i}-1")).collect();
    many.extend(added);
    f.backend.stream_ack(&key, "group", &many).await.unwrap();
}

/// `XPENDING` is empty afterwards.
async fn acknowledged_entries_are_no_longer_pending(f: Fixture, redis: DirectRedis) {
    let (key, added) = add_and_deliver(&f, 3).await;
    assert_eq!(pending(&redis, &key, "group").await, added);
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert!(pending(&redis, &key, "group").await.is_empty());
}

/// Unknown ids in the list do not affect the others.
async fn only_the_given_ids_are_acknowledged(f: Fixture, redis: DirectRedis) {
    let (key, added) = add_and_deliver(&f, 3).await;
    let named = [
        "1-1".to_owned(),
        added[1].clone(),
        "18446744073709551615-1".to_owned(),
    ];
    f.backend.stream_ack(&key, "group", &named).await.unwrap();
    let left = [added[0].clone(), added[2].clone()];
    assert_eq!(pending(&redis, &key, "group").await, left);
}

/// Each group has its own list of pending entries.
async fn pending_entries_of_other_groups_stay(f: Fixture, redis: DirectRedis) {
    let (key, added) = add_and_deliver(&f, 2).await;
    f.backend
        .stream_create_group(&key, "another", "0")
        .await
        .unwrap();
    f.read_group_now(&key, "another", "consumer").await.unwrap();
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(pending(&redis, &key, "another").await, added);
}

/// `XACK` names no consumer.
async fn pending_entries_of_any_consumer_can_be_acknowledged(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    f.backend
        .stream_read_group(&key, "group", "one", 1, None)
        .await
        .unwrap();
    f.backend
        .stream_read_group(&key, "group", "two", 1, None)
        .await
        .unwrap();
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert!(pending(&redis, &key, "group").await.is_empty());
}

/// Each once, and none that was acknowledged before.
async fn entries_that_were_pending_are_counted(f: Fixture) {
    let (key, added) = add_and_deliver(&f, 5).await;
    let acknowledge = |ids: Vec<String>| {
        let (backend, key) = (&f.backend, &key);
        async move { backend.acknowledge(key, "group", &ids).await }
    };
    assert_eq!(acknowledge(vec![]).await, Ok(0));
    assert_eq!(acknowledge(added[..2].to_vec()).await, Ok(2));
    let repeated = [&added[2], &added[2], &added[0]].map(String::clone);
    assert_eq!(acknowledge(repeated.to_vec()).await, Ok(1));
    let unknown = vec!["5-5".to_owned(), added[3].clone()];
    assert_eq!(acknowledge(unknown).await, Ok(1));
    let missing = f.backend.acknowledge(&key, "another", &added).await;
    assert_eq!(missing, Ok(0));
    let missing = f.backend.acknowledge(&f.key(), "group", &added).await;
    assert_eq!(missing, Ok(0));
    assert_eq!(acknowledge(added.clone()).await, Ok(1));
}
