//! Consumers: how they end.

use futures_util::StreamExt as _;
use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::MAX_NAME_BYTES;
use streamgate_protocol::{ConsumeOptions, Deliveries};

use super::consume::{consume, next_batch, pending_count, stream_with_group, waiting_consumer};
use crate::fixture::{DirectRedis, Fixture, HANG, assert_keeps_waiting, code, ids, settle};

cases![
    dropping_a_consumer_leaves_undelivered_entries_to_others,
    a_dropped_consumer_receives_nothing,
    a_consumer_dropped_at_once_receives_nothing,
    dropping_a_consumer_keeps_the_order_of_the_others,
    a_consumer_that_is_never_polled_receives_nothing,
    a_missing_group_is_rejected,
    a_batch_size_of_0_is_rejected,
    overlong_names_are_rejected,
    ;
    needs_redis:
    entries_delivered_to_a_dropped_consumer_are_pending,
    destroying_a_group_ends_its_consumers,
    deleting_a_stream_ends_its_consumers,
    a_key_of_another_type_is_rejected,
];

/// The code of the error that must come next, and end the deliveries.
async fn final_error(mut deliveries: Deliveries) -> String {
    let next = tokio::time::timeout(HANG, deliveries.next()).await;
    let next = next.unwrap().unwrap();
    assert!(next.is_err(), "not an error: {next:?}");
    assert_eq!(deliveries.next().await, None, "after the error");
    code(&next).to_owned()
}

/// They continue where it stopped.
async fn dropping_a_consumer_leaves_undelivered_entries_to_others(f: Fixture) {
    let key = stream_with_group(&f).await;
    let added = f.add_concurrently(&key, 500).await.unwrap();
    let mut dropped = consume(&f, &key, "dropped", 5);
    assert_eq!(next_batch(&mut dropped).await[0].0, added[0]);
    drop(dropped);
    let mut other = consume(&f, &key, "other", 50);
    let mut delivered = Vec::new();
    while delivered.last() != added.last() {
        delivered.extend(next_batch(&mut other).await.into_iter().map(|(id, _)| id));
    }
    assert!(
        delivered.len() > 250,
        "only {} entries are left",
        delivered.len()
    );
    assert_eq!(delivered, added[added.len() - delivered.len()..]);
}

/// The wait has reached the backend before the consumer is dropped.
async fn a_dropped_consumer_receives_nothing(f: Fixture) {
    let key = stream_with_group(&f).await;
    let mut dropped = waiting_consumer(&f, &key, "dropped", 10);
    assert_keeps_waiting(dropped.next(), 300).await;
    drop(dropped);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(
        ids(&next_batch(&mut consume(&f, &key, "next", 10)).await),
        [id]
    );
}

/// The request may still be on its way to the backend.
async fn a_consumer_dropped_at_once_receives_nothing(f: Fixture) {
    for _ in 0..20 {
        let key = stream_with_group(&f).await;
        drop(waiting_consumer(&f, &key, "dropped", 10));
        let mut other = waiting_consumer(&f, &key, "next", 10);
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(ids(&next_batch(&mut other).await), [id]);
    }
}

async fn dropping_a_consumer_keeps_the_order_of_the_others(f: Fixture) {
    let key = stream_with_group(&f).await;
    let consumers = ["first", "second", "third"].map(|name| waiting_consumer(&f, &key, name, 1));
    let [mut first, second, mut third] = consumers;
    settle().await;
    drop(second);
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    assert_eq!(ids(&next_batch(&mut first).await), [&added[0]]);
    assert_eq!(ids(&next_batch(&mut third).await), [&added[1]]);
}

/// It starts with its first poll.
async fn a_consumer_that_is_never_polled_receives_nothing(f: Fixture) {
    let key = stream_with_group(&f).await;
    let idle = consume(&f, &key, "idle", 10);
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    settle().await;
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "other").await.unwrap()),
        added
    );
    drop(idle);
}

/// Whether the stream exists or not.
async fn a_missing_group_is_rejected(f: Fixture) {
    let key = f.key();
    for _ in 0..2 {
        assert_eq!(
            final_error(consume(&f, &key, "consumer", 10)).await,
            codes::NOGROUP
        );
        f.add(&key, "1").await.unwrap();
    }
}

/// Such a consumer could never receive anything.
async fn a_batch_size_of_0_is_rejected(f: Fixture) {
    let key = stream_with_group(&f).await;
    assert_eq!(
        final_error(consume(&f, &key, "consumer", 0)).await,
        codes::ERR
    );
    let id = f.add(&key, "1").await.unwrap();
    assert_eq!(
        final_error(consume(&f, &key, "consumer", 0)).await,
        codes::ERR
    );
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
        [id]
    );
}

/// Stream, group and consumer.
async fn overlong_names_are_rejected(f: Fixture) {
    let key = stream_with_group(&f).await;
    let long = "k".repeat(MAX_NAME_BYTES + 1);
    for names in [
        [&*long, "group", "c"],
        [&*key, &*long, "c"],
        [&*key, "group", &*long],
    ] {
        let options = ConsumeOptions::default();
        let deliveries = f.backend.consume(names[0], names[1], names[2], options);
        assert_eq!(final_error(deliveries).await, codes::LIMIT);
    }
}

/// Nothing is lost: each entry is pending for it or was delivered to the other consumer.
async fn entries_delivered_to_a_dropped_consumer_are_pending(f: Fixture, redis: DirectRedis) {
    let key = stream_with_group(&f).await;
    let added = f.add_concurrently(&key, 500).await.unwrap();
    let mut dropped = consume(&f, &key, "dropped", 5);
    next_batch(&mut dropped).await;
    drop(dropped);
    let mut other = consume(&f, &key, "other", 50);
    let mut delivered = Vec::new();
    while delivered.last() != added.last() {
        let batch = next_batch(&mut other).await;
        let these: Vec<_> = batch.into_iter().map(|(id, _)| id).collect();
        f.backend.stream_ack(&key, "group", &these).await.unwrap();
        delivered.extend(these);
    }
    assert_eq!(
        pending_count(&redis, &key).await,
        500 - delivered.len() as u64
    );
}

/// `XGROUP DESTROY`.
async fn destroying_a_group_ends_its_consumers(f: Fixture, redis: DirectRedis) {
    let key = stream_with_group(&f).await;
    let consumers = ["one", "two"].map(|name| waiting_consumer(&f, &key, name, 10));
    settle().await;
    let destroyed: u64 = redis
        .send(&[b"XGROUP", b"DESTROY", key.as_bytes(), b"group"])
        .await
        .unwrap();
    assert_eq!(destroyed, 1);
    for deliveries in consumers {
        assert_eq!(final_error(deliveries).await, codes::NOGROUP);
    }
}

/// Its groups are deleted with it.
async fn deleting_a_stream_ends_its_consumers(f: Fixture, redis: DirectRedis) {
    let key = stream_with_group(&f).await;
    let deliveries = waiting_consumer(&f, &key, "consumer", 10);
    settle().await;
    let deleted: u64 = redis.send(&[b"DEL", key.as_bytes()]).await.unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(final_error(deliveries).await, codes::NOGROUP);
}

/// At once.
async fn a_key_of_another_type_is_rejected(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let _: String = redis
        .send(&[b"SET", key.as_bytes(), b"text"])
        .await
        .unwrap();
    assert_eq!(
        final_error(consume(&f, &key, "consumer", 10)).await,
        codes::WRONGTYPE
    );
}
