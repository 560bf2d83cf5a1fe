//! Other programs delete, recreate, rename or overwrite the stream of a tail.

use streamgate_protocol::error::code as codes;
use streamgate_protocol::{Gap, GapReason, TailFrom};

use crate::fixture::{DirectRedis, Fixture, settle};
use crate::reader::Reader;

cases![
    ;
    needs_redis:
    deleting_a_stream_is_reported_as_recreated,
    a_recreated_stream_with_smaller_ids_is_read_from_its_beginning,
    a_stream_recreated_atomically_is_reported,
    resuming_in_a_stream_with_smaller_ids_is_reported,
    a_stream_deleted_before_its_first_entry_is_not_reported,
    a_key_that_becomes_another_type_ends_a_tail,
    a_key_of_another_type_is_rejected,
    renaming_a_stream_is_reported_as_recreated,
];

async fn add_directly(redis: &DirectRedis, key: &str, id: &str) {
    let added: String = redis
        .send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"])
        .await
        .unwrap();
    assert_eq!(added, id);
}

async fn delete_directly(redis: &DirectRedis, key: &str) {
    let deleted: u64 = redis.send(&[b"DEL", key.as_bytes()]).await.unwrap();
    assert_eq!(deleted, 1);
}

/// Expects one gap for the recreated stream. The tail may report it when the old stream is deleted
/// or when the new one is created.
async fn expect_recreated(tail: &mut Reader, after: &str) -> Gap {
    let gap = tail.gap().await;
    assert_eq!((&*gap.after, gap.reason), (after, GapReason::Recreated));
    gap
}

/// Also if the ids of the next stream are greater, as those of the clock.
async fn deleting_a_stream_is_reported_as_recreated(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    for _ in 0..5 {
        let id = f.add(&key, "old").await.unwrap();
        assert_eq!(tail.ids(1).await, [&*id]);
        delete_directly(&redis, &key).await;
        let gap = expect_recreated(&mut tail, &id).await;
        assert_eq!((gap.first, &*gap.position), (None, "0-0"));
    }
    tail.expect_silence(100).await;
}

async fn a_recreated_stream_with_smaller_ids_is_read_from_its_beginning(
    f: Fixture,
    redis: DirectRedis,
) {
    let key = f.key();
    add_directly(&redis, &key, "100-1").await;
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(1).await, ["100-1"]);
    delete_directly(&redis, &key).await;
    settle().await;
    for id in ["5-1", "5-2", "100-0"] {
        add_directly(&redis, &key, id).await;
    }
    expect_recreated(&mut tail, "100-1").await;
    assert_eq!(tail.ids(3).await, ["5-1", "5-2", "100-0"]);
    tail.expect_silence(100).await;
}

/// No reader can see the moment in which the key is missing.
async fn a_stream_recreated_atomically_is_reported(f: Fixture, redis: DirectRedis) {
    for (id, is_recreated) in [("5-1", Some(true)), ("200-1", None)] {
        let key = f.key();
        add_directly(&redis, &key, "100-1").await;
        add_directly(&redis, &key, "100-2").await;
        let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
        assert_eq!(tail.ids(2).await, ["100-1", "100-2"]);
        let script = b"redis.call('DEL', KEYS[1]) \
            return redis.call('XADD', KEYS[1], ARGV[1], 'a', '1')";
        let words: [&[u8]; 5] = [b"EVAL", script, b"1", key.as_bytes(), id.as_bytes()];
        let _: String = redis.send(&words).await.unwrap();
        let gap = tail.gap().await;
        assert_eq!((&*gap.after, gap.first.as_deref()), ("100-2", Some(id)));
        // If the id is greater, the stream may just as well have been trimmed.
        let recreated = gap.reason == GapReason::Recreated;
        assert!(is_recreated.is_none_or(|is| is == recreated), "{gap:?}");
        assert_eq!(tail.ids(1).await, [id]);
        let mut resumed = Reader::open(&f, &key, TailFrom::After(gap.position)).await;
        assert_eq!(resumed.ids(1).await, [id]);
    }
}

/// The position is beyond the stream's last id.
async fn resuming_in_a_stream_with_smaller_ids_is_reported(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    add_directly(&redis, &key, "5-1").await;
    add_directly(&redis, &key, "5-2").await;
    let mut tail = Reader::open(&f, &key, TailFrom::After("100-1".to_owned())).await;
    let gap = expect_recreated(&mut tail, "100-1").await;
    assert_eq!(gap.first.as_deref(), Some("5-1"));
    assert_eq!(tail.ids(2).await, ["5-1", "5-2"]);
    let mut resumed = Reader::open(&f, &key, TailFrom::After(gap.position)).await;
    assert_eq!(resumed.ids(2).await, ["5-1", "5-2"]);
}

/// No entry can be missing.
async fn a_stream_deleted_before_its_first_entry_is_not_reported(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let _: u64 = redis.send(&[b"DEL", key.as_bytes()]).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    delete_directly(&redis, &key).await;
    tail.expect_silence(200).await;
    add_directly(&redis, &key, "5-1").await;
    assert_eq!(tail.ids(1).await, ["5-1"]);
}

/// `WRONGTYPE`.
async fn a_key_that_becomes_another_type_ends_a_tail(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    let mut missing = Reader::open(&f, &key, TailFrom::Now).await;
    assert_eq!(tail.ids(2).await, added);
    let _: String = redis
        .send(&[b"SET", key.as_bytes(), b"text"])
        .await
        .unwrap();
    assert_eq!(tail.error().await, codes::WRONGTYPE);
    assert_eq!(missing.error().await, codes::WRONGTYPE);
}

/// At once, from any start.
async fn a_key_of_another_type_is_rejected(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let _: u64 = redis
        .send(&[b"RPUSH", key.as_bytes(), b"item"])
        .await
        .unwrap();
    for from in [
        TailFrom::Beginning,
        TailFrom::Now,
        TailFrom::Last(0),
        TailFrom::Last(3),
        TailFrom::After("0-0".to_owned()),
        TailFrom::After("5-5".to_owned()),
    ] {
        assert_eq!(
            super::tail_end::rejection(&f, &key, from).await,
            codes::WRONGTYPE
        );
    }
}

/// Tails of the new name return its entries.
async fn renaming_a_stream_is_reported_as_recreated(f: Fixture, redis: DirectRedis) {
    let (key, other) = (f.key(), f.key());
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    let mut other_tail = Reader::open(&f, &other, TailFrom::Beginning).await;
    assert_eq!(tail.ids(2).await, added);
    let _: String = redis
        .send(&[b"RENAME", key.as_bytes(), other.as_bytes()])
        .await
        .unwrap();
    expect_recreated(&mut tail, &added[1]).await;
    assert_eq!(other_tail.ids(2).await, added);
}
