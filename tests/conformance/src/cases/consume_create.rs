//! Consumers that create their group where it is missing.

use futures_util::StreamExt as _;
use streamgate_protocol::error::code as codes;
use streamgate_protocol::{ConsumeOptions, Deliveries};

use super::consume::{next_batch, stream_with_group};
use super::consume_claim::next_ids_sorted;
use crate::fixture::{DirectRedis, Fixture, HANG, code, ids, settle, started};
use crate::malformed_ids::not_a_start;

cases![
    a_missing_stream_is_created,
    a_missing_group_is_created_after_the_id,
    a_group_created_at_dollar_delivers_what_is_added_after_the_consumer_began,
    an_existing_group_stays_where_it_is,
    consumers_that_create_the_same_group_share_its_entries,
    a_consumer_that_reclaims_creates_its_group,
    a_malformed_id_is_rejected,
    ;
    needs_redis:
    a_consumer_goes_on_after_its_stream_was_deleted,
    a_consumer_goes_on_after_its_group_was_destroyed,
    a_consumer_from_dollar_misses_nothing_of_a_recreated_stream,
    a_consumer_from_dollar_receives_nothing_twice_after_its_group_was_destroyed,
    a_consumer_that_reclaims_goes_on_after_its_stream_was_deleted,
    a_key_of_another_type_ends_a_consumer,
];

fn consume_from(f: &Fixture, key: &str, consumer: &str, id: &str) -> Deliveries {
    let options = ConsumeOptions::default().create_from(id);
    f.backend.consume(key, "group", consumer, options)
}

/// Starts a consumer and waits until its group exists.
async fn begun(f: &Fixture, key: &str, mut deliveries: Deliveries) -> Deliveries {
    let exists = async {
        while f.backend.pending_summary(key, "group").await.is_err() {
            tokio::task::yield_now().await;
        }
        settle().await;
    };
    tokio::select! {
        early = deliveries.next() => assert!(early.is_none(), "it received {early:?}"),
        exists = tokio::time::timeout(HANG, exists) => exists.unwrap(),
    }
    deliveries
}

/// Starts a consumer at `$` of a stream that has an entry before.
async fn begun_from_dollar(f: &Fixture) -> (String, Deliveries) {
    let key = f.key();
    f.add(&key, "before").await.unwrap();
    let deliveries = consume_from(f, &key, "ann", "$");
    let deliveries = begun(f, &key, deliveries).await;
    (key, deliveries)
}

async fn delete(redis: &DirectRedis, key: &str) {
    let deleted: u64 = redis.send(&[b"DEL", key.as_bytes()]).await.unwrap();
    assert_eq!(deleted, 1);
}

async fn destroy_group(redis: &DirectRedis, key: &str) {
    let words: [&[u8]; 4] = [b"XGROUP", b"DESTROY", key.as_bytes(), b"group"];
    let destroyed: u64 = redis.send(&words).await.unwrap();
    assert_eq!(destroyed, 1);
}

/// As `MKSTREAM` does.
async fn a_missing_stream_is_created(f: Fixture) {
    for start in ["0", "$"] {
        let key = f.key();
        let deliveries = consume_from(&f, &key, "ann", start);
        let mut deliveries = begun(&f, &key, deliveries).await;
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(ids(&next_batch(&mut deliveries).await), [&*id]);
        let acknowledged = f.backend.acknowledge(&key, "group", &[id]).await;
        assert_eq!(acknowledged, Ok(1));
    }
}

async fn a_missing_group_is_created_after_the_id(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut deliveries = consume_from(&f, &key, "ann", &added[0]);
    assert_eq!(next_ids_sorted(&mut deliveries, 2).await, added[1..]);
}

/// Not what was there before.
async fn a_group_created_at_dollar_delivers_what_is_added_after_the_consumer_began(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 3).await.unwrap();
    let mut deliveries = consume_from(&f, &key, "ann", "$");
    let next = started(deliveries.next());
    let id = f.add(&key, "new").await.unwrap();
    let delivered = tokio::time::timeout(HANG, next).await.unwrap();
    assert_eq!(ids(&delivered.unwrap().unwrap()), [&*id]);
}

/// The id is for a missing group only.
async fn an_existing_group_stays_where_it_is(f: Fixture) {
    let key = stream_with_group(&f).await;
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let first = f.backend.stream_read_group(&key, "group", "bob", 1, None);
    assert_eq!(ids(&first.await.unwrap()), added[..1]);
    for start in ["$", "0"] {
        let mut deliveries = consume_from(&f, &key, "ann", start);
        let mut new = vec![f.add(&key, "new").await.unwrap()];
        if start == "$" {
            new.splice(0..0, added[1..].iter().cloned());
        }
        assert_eq!(next_ids_sorted(&mut deliveries, new.len()).await, new);
    }
}

/// One of them creates it.
async fn consumers_that_create_the_same_group_share_its_entries(f: Fixture) {
    let key = f.key();
    let names: Vec<_> = (0..8).map(|n| format!("consumer {n}")).collect();
    let all = names.iter().map(|name| consume_from(&f, &key, name, "$"));
    let mut all = futures_util::stream::select_all(all);
    let first = started(all.next());
    settle().await;
    let added = f.add_concurrently(&key, 100).await.unwrap();
    let mut delivered: Vec<String> = Vec::new();
    let batch = tokio::time::timeout(HANG, first).await.unwrap();
    delivered.extend(batch.unwrap().unwrap().into_iter().map(|entry| entry.id));
    while delivered.len() < added.len() {
        let batch = tokio::time::timeout(HANG, all.next()).await.unwrap();
        delivered.extend(batch.unwrap().unwrap().into_iter().map(|entry| entry.id));
    }
    delivered.sort_by_key(|id| crate::fixture::parts(id));
    assert_eq!(delivered, added);
}

/// Before its first scan.
async fn a_consumer_that_reclaims_creates_its_group(f: Fixture) {
    let key = f.key();
    let options = ConsumeOptions::default()
        .create_from("0")
        .claim_after_ms(20);
    let deliveries = f.backend.consume(&key, "group", "ann", options);
    let mut deliveries = begun(&f, &key, deliveries).await;
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(next_ids_sorted(&mut deliveries, 3).await, added);
}

/// `ERR`, and no stream is created.
async fn a_malformed_id_is_rejected(f: Fixture) {
    let key = f.key();
    for id in not_a_start() {
        let next = consume_from(&f, &key, "ann", id).next().await.unwrap();
        assert_eq!(code(&next), codes::ERR, "{id:?}");
    }
    let missing = f.backend.pending_summary(&key, "group").await;
    assert_eq!(code(&missing), codes::NOGROUP);
}

/// As after `FLUSHALL`.
async fn a_consumer_goes_on_after_its_stream_was_deleted(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let mut deliveries = consume_from(&f, &key, "ann", "0");
    for _ in 0..3 {
        let next = started(deliveries.next());
        let id = f.add(&key, "new").await.unwrap();
        let delivered = tokio::time::timeout(HANG, next).await.unwrap();
        assert_eq!(ids(&delivered.unwrap().unwrap()), [&*id]);
        let next = started(deliveries.next());
        delete(&redis, &key).await;
        let id = f.add(&key, "recreated").await.unwrap();
        let delivered = tokio::time::timeout(HANG, next).await.unwrap();
        assert_eq!(ids(&delivered.unwrap().unwrap()), [&*id]);
    }
}

/// An id means the same each time, so all entries after it are delivered once more.
async fn a_consumer_goes_on_after_its_group_was_destroyed(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut deliveries = consume_from(&f, &key, "ann", &added[0]);
    for _ in 0..2 {
        assert_eq!(next_ids_sorted(&mut deliveries, 2).await, added[1..]);
        let next = started(deliveries.next());
        destroy_group(&redis, &key).await;
        let delivered = tokio::time::timeout(HANG, next).await.unwrap();
        assert_eq!(ids(&delivered.unwrap().unwrap()), added[1..]);
        destroy_group(&redis, &key).await;
    }
}

/// The consumer is the last to see that the stream is another one.
async fn a_consumer_from_dollar_misses_nothing_of_a_recreated_stream(
    f: Fixture,
    redis: DirectRedis,
) {
    let (key, mut deliveries) = begun_from_dollar(&f).await;
    let id = f.add(&key, "first").await.unwrap();
    assert_eq!(ids(&next_batch(&mut deliveries).await), [&*id]);
    // Ids of a clock, and smaller ones.
    for own_ids in [false, true] {
        let script = b"redis.call('DEL', KEYS[1])
            local ids = {}
            for i = 1, 5 do
              ids[i] = redis.call('XADD', KEYS[1], ARGV[1] == '' and '*' or i .. '-1', 'a', i)
            end
            return ids";
        let own: &[u8] = if own_ids { b"own" } else { b"" };
        let words: [&[u8]; 5] = [b"EVAL", script, b"1", key.as_bytes(), own];
        let added: Vec<String> = redis.send(&words).await.unwrap();
        assert_eq!(next_ids_sorted(&mut deliveries, 5).await, added);
    }
}

async fn a_consumer_from_dollar_receives_nothing_twice_after_its_group_was_destroyed(
    f: Fixture,
    redis: DirectRedis,
) {
    let (key, mut deliveries) = begun_from_dollar(&f).await;
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(next_ids_sorted(&mut deliveries, 3).await, added);
    destroy_group(&redis, &key).await;
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(next_ids_sorted(&mut deliveries, 3).await, added);
}

async fn a_consumer_that_reclaims_goes_on_after_its_stream_was_deleted(
    f: Fixture,
    redis: DirectRedis,
) {
    let key = f.key();
    let options = ConsumeOptions::default()
        .create_from("$")
        .claim_after_ms(20);
    let deliveries = f.backend.consume(&key, "group", "ann", options);
    let mut deliveries = begun(&f, &key, deliveries).await;
    for _ in 0..3 {
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(next_ids_sorted(&mut deliveries, 1).await, [&*id]);
        delete(&redis, &key).await;
    }
}

/// `WRONGTYPE`: it cannot be created.
async fn a_key_of_another_type_ends_a_consumer(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let _: u64 = redis
        .send(&[b"RPUSH", key.as_bytes(), b"item"])
        .await
        .unwrap();
    for start in ["0", "$"] {
        let mut deliveries = consume_from(&f, &key, "ann", start);
        let next = tokio::time::timeout(HANG, deliveries.next()).await.unwrap();
        assert_eq!(code(&next.unwrap()), codes::WRONGTYPE);
    }
}
