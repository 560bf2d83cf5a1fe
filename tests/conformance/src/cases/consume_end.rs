//! Consumers that are given entries as they come: how that ends.

use std::time::Duration;

use futures_util::StreamExt as _;
use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::MAX_NAME_BYTES;
use streamgate_protocol::{ConsumeOptions, Deliveries};

use super::consume::{started, consume, group, next, pending};
use crate::fixture::{Fixture, HANG, DirectRedis, code, ids};

cases![
    a_dropped_consumer_leaves_to_others_what_it_did_not_take,
    a_waiting_consumer_that_is_dropped_is_handed_nothing,
    a_consumer_that_is_dropped_right_after_asking_is_handed_nothing,
    a_dropped_consumer_leaves_its_place_to_those_behind_it,
    a_consumer_that_was_never_polled_takes_nothing,
    a_missing_group_is_refused,
    a_batch_of_0_is_refused,
    a_long_name_is_refused,
    ;
    needs_redis:
    what_a_dropped_consumer_took_is_pending,
    a_group_that_is_destroyed_ends_its_consumers,
    a_stream_that_is_deleted_ends_its_consumers,
    a_key_of_another_type_is_refused,
];

/// The code of the error that must come next, and end the deliveries.
async fn error(mut deliveries: Deliveries) -> String {
    let next = tokio::time::timeout(HANG, deliveries.next()).await;
    let next = next.unwrap().unwrap();
    assert!(next.is_err(), "no error, but {next:?}");
    assert_eq!(deliveries.next().await, None, "behind the error");
    code(&next).to_owned()
}

/// The others go on where it stopped.
async fn a_dropped_consumer_leaves_to_others_what_it_did_not_take(f: Fixture) {
    let key = group(&f).await;
    let added = f.add_concurrently(&key, 500).await.unwrap();
    let mut gone = consume(&f, &key, "gone", 5);
    assert_eq!(next(&mut gone).await[0].0, added[0]);
    drop(gone);
    let mut other = consume(&f, &key, "other", 50);
    let mut taken = Vec::new();
    while taken.last() != added.last() {
        taken.extend(next(&mut other).await.into_iter().map(|(id, _)| id));
    }
    assert!(taken.len() > 250, "only {} are left", taken.len());
    assert_eq!(taken, added[added.len() - taken.len()..]);
}

/// Lets the backend settle first: the wait is at its far end by then.
async fn a_waiting_consumer_that_is_dropped_is_handed_nothing(f: Fixture) {
    let key = group(&f).await;
    let mut gone = started(&f, &key, "gone", 10);
    let early = tokio::time::timeout(Duration::from_millis(300), gone.next()).await;
    assert!(early.is_err(), "{early:?}");
    drop(gone);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(ids(&next(&mut consume(&f, &key, "next", 10)).await), [id]);
}

/// On its way, wherever it is.
async fn a_consumer_that_is_dropped_right_after_asking_is_handed_nothing(f: Fixture) {
    for _ in 0..20 {
        let key = group(&f).await;
        drop(started(&f, &key, "gone", 10));
        let mut other = started(&f, &key, "next", 10);
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(ids(&next(&mut other).await), [id]);
    }
}

/// The order of the others stays.
async fn a_dropped_consumer_leaves_its_place_to_those_behind_it(f: Fixture) {
    let key = group(&f).await;
    let consumers = ["first", "second", "third"].map(|name| started(&f, &key, name, 1));
    let [mut first, second, mut third] = consumers;
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(second);
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    assert_eq!(ids(&next(&mut first).await), [&added[0]]);
    assert_eq!(ids(&next(&mut third).await), [&added[1]]);
}

/// It begins with the first poll.
async fn a_consumer_that_was_never_polled_takes_nothing(f: Fixture) {
    let key = group(&f).await;
    let idle = consume(&f, &key, "idle", 10);
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ids(&f.read_group_now(&key, "group", "other").await.unwrap()), added);
    drop(idle);
}

/// With its stream or without.
async fn a_missing_group_is_refused(f: Fixture) {
    let key = f.key();
    for _ in 0..2 {
        assert_eq!(error(consume(&f, &key, "consumer", 10)).await, codes::NOGROUP);
        f.add(&key, "1").await.unwrap();
    }
}

/// It would take nothing for ever.
async fn a_batch_of_0_is_refused(f: Fixture) {
    let key = group(&f).await;
    assert_eq!(error(consume(&f, &key, "consumer", 0)).await, codes::ERR);
    let id = f.add(&key, "1").await.unwrap();
    assert_eq!(error(consume(&f, &key, "consumer", 0)).await, codes::ERR);
    assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), [id]);
}

/// Each of the three.
async fn a_long_name_is_refused(f: Fixture) {
    let key = group(&f).await;
    let long = "k".repeat(MAX_NAME_BYTES + 1);
    for names in [[&*long, "group", "c"], [&*key, &*long, "c"], [&*key, "group", &*long]] {
        let options = ConsumeOptions::default();
        let deliveries = f.backend.consume(names[0], names[1], names[2], options);
        assert_eq!(error(deliveries).await, codes::LIMIT);
    }
}

/// Nothing is lost: it is pending for the one, or was given to the other.
async fn what_a_dropped_consumer_took_is_pending(f: Fixture, redis: DirectRedis) {
    let key = group(&f).await;
    let added = f.add_concurrently(&key, 500).await.unwrap();
    let mut gone = consume(&f, &key, "gone", 5);
    next(&mut gone).await;
    drop(gone);
    let mut other = consume(&f, &key, "other", 50);
    let mut taken = Vec::new();
    while taken.last() != added.last() {
        let batch = next(&mut other).await;
        let these: Vec<_> = batch.into_iter().map(|(id, _)| id).collect();
        f.backend.stream_ack(&key, "group", &these).await.unwrap();
        taken.extend(these);
    }
    assert_eq!(pending(&redis, &key).await, 500 - taken.len() as u64);
}

/// XGROUP DESTROY.
async fn a_group_that_is_destroyed_ends_its_consumers(f: Fixture, redis: DirectRedis) {
    let key = group(&f).await;
    let consumers = ["one", "two"].map(|name| started(&f, &key, name, 10));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let destroyed: u64 =
        redis.send(&[b"XGROUP", b"DESTROY", key.as_bytes(), b"group"]).await.unwrap();
    assert_eq!(destroyed, 1);
    for deliveries in consumers {
        assert_eq!(error(deliveries).await, codes::NOGROUP);
    }
}

/// Groups go with their stream.
async fn a_stream_that_is_deleted_ends_its_consumers(f: Fixture, redis: DirectRedis) {
    let key = group(&f).await;
    let deliveries = started(&f, &key, "consumer", 10);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let deleted: u64 = redis.send(&[b"DEL", key.as_bytes()]).await.unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(error(deliveries).await, codes::NOGROUP);
}

/// At once.
async fn a_key_of_another_type_is_refused(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let _: String = redis.send(&[b"SET", key.as_bytes(), b"text"]).await.unwrap();
    assert_eq!(error(consume(&f, &key, "consumer", 10)).await, codes::WRONGTYPE);
}
