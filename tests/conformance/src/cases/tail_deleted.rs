//! `DEL` and more by somebody else, under tails.

use std::time::Duration;

use streamgate_protocol::error::code as codes;
use streamgate_protocol::{Gap, TailFrom};

use crate::fixture::{Fixture, DirectRedis};
use crate::reader::Reader;

cases![
    ;
    needs_redis:
    a_stream_that_is_deleted_is_another_one_next,
    a_stream_that_starts_anew_with_smaller_ids_is_read_from_its_beginning,
    a_stream_that_was_made_anew_at_the_same_moment_is_told,
    resuming_in_a_stream_with_smaller_ids_is_told,
    a_tail_of_a_missing_stream_is_told_nothing,
    a_key_that_becomes_another_type_ends_a_tail,
    a_key_of_another_type_is_refused,
    a_stream_that_is_renamed_away_is_gone,
];

async fn add(redis: &DirectRedis, key: &str, id: &str) {
    let added: String =
        redis.send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"]).await.unwrap();
    assert_eq!(added, id);
}

async fn delete(redis: &DirectRedis, key: &str) {
    let deleted: u64 = redis.send(&[b"DEL", key.as_bytes()]).await.unwrap();
    assert_eq!(deleted, 1);
}

/// One gap for it, whether it is told when the stream goes or when the next one comes.
async fn recreated(tail: &mut Reader, after: &str) -> Gap {
    let gap = tail.gap().await;
    assert_eq!((&*gap.after, gap.recreated), (after, true));
    gap
}

/// Whatever ids it gives: here those of the clock.
async fn a_stream_that_is_deleted_is_another_one_next(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    for _ in 0..5 {
        let id = f.add(&key, "old").await.unwrap();
        assert_eq!(tail.ids(1).await, [&*id]);
        delete(&redis, &key).await;
        let gap = recreated(&mut tail, &id).await;
        assert_eq!((gap.first, &*gap.position), (None, "0-0"));
    }
    tail.expect_silence(100).await;
}

/// All of it follows.
async fn a_stream_that_starts_anew_with_smaller_ids_is_read_from_its_beginning(
    f: Fixture,
    redis: DirectRedis,
) {
    let key = f.key();
    add(&redis, &key, "100-1").await;
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(1).await, ["100-1"]);
    delete(&redis, &key).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    for id in ["5-1", "5-2", "100-0"] {
        add(&redis, &key, id).await;
    }
    recreated(&mut tail, "100-1").await;
    assert_eq!(tail.ids(3).await, ["5-1", "5-2", "100-0"]);
    tail.expect_silence(100).await;
}

/// Nobody could look between the two.
async fn a_stream_that_was_made_anew_at_the_same_moment_is_told(f: Fixture, redis: DirectRedis) {
    for (id, is_recreated) in [("5-1", Some(true)), ("200-1", None)] {
        let key = f.key();
        add(&redis, &key, "100-1").await;
        add(&redis, &key, "100-2").await;
        let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
        assert_eq!(tail.ids(2).await, ["100-1", "100-2"]);
        let script = b"redis.call('DEL', KEYS[1]) \
            return redis.call('XADD', KEYS[1], ARGV[1], 'a', '1')";
        let words: [&[u8]; 5] = [b"EVAL", script, b"1", key.as_bytes(), id.as_bytes()];
        let _: String = redis.send(&words).await.unwrap();
        let gap = tail.gap().await;
        assert_eq!((&*gap.after, gap.first.as_deref()), ("100-2", Some(id)));
        // Of greater ids nobody can tell: it may have been trimmed.
        assert!(is_recreated.is_none_or(|is| is == gap.recreated), "{gap:?}");
        assert_eq!(tail.ids(1).await, [id]);
        let mut resumed = Reader::open(&f, &key, TailFrom::After(gap.position)).await;
        assert_eq!(resumed.ids(1).await, [id]);
    }
}

/// The cursor is beyond all that the stream ever gave.
async fn resuming_in_a_stream_with_smaller_ids_is_told(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    add(&redis, &key, "5-1").await;
    add(&redis, &key, "5-2").await;
    let mut tail = Reader::open(&f, &key, TailFrom::After("100-1".to_owned())).await;
    let gap = recreated(&mut tail, "100-1").await;
    assert_eq!(gap.first.as_deref(), Some("5-1"));
    assert_eq!(tail.ids(2).await, ["5-1", "5-2"]);
    let mut resumed = Reader::open(&f, &key, TailFrom::After(gap.position)).await;
    assert_eq!(resumed.ids(2).await, ["5-1", "5-2"]);
}

/// There was nothing that could be missing.
async fn a_tail_of_a_missing_stream_is_told_nothing(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let _: u64 = redis.send(&[b"DEL", key.as_bytes()]).await.unwrap();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    delete(&redis, &key).await;
    tail.expect_silence(200).await;
    add(&redis, &key, "5-1").await;
    assert_eq!(tail.ids(1).await, ["5-1"]);
}

/// `WRONGTYPE`, and that is its end.
async fn a_key_that_becomes_another_type_ends_a_tail(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    let mut missing = Reader::open(&f, &key, TailFrom::Now).await;
    assert_eq!(tail.ids(2).await, added);
    let _: String = redis.send(&[b"SET", key.as_bytes(), b"text"]).await.unwrap();
    assert_eq!(tail.error().await, codes::WRONGTYPE);
    assert_eq!(missing.error().await, codes::WRONGTYPE);
}

/// At once, wherever it starts.
async fn a_key_of_another_type_is_refused(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let _: u64 = redis.send(&[b"RPUSH", key.as_bytes(), b"item"]).await.unwrap();
    for from in [
        TailFrom::Beginning,
        TailFrom::Now,
        TailFrom::Last(0),
        TailFrom::Last(3),
        TailFrom::After("0-0".to_owned()),
        TailFrom::After("5-5".to_owned()),
    ] {
        assert_eq!(super::tail_end::refused(&f, &key, from).await, codes::WRONGTYPE);
    }
}

/// And the other name has tails of its own.
async fn a_stream_that_is_renamed_away_is_gone(f: Fixture, redis: DirectRedis) {
    let (key, other) = (f.key(), f.key());
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    let mut others = Reader::open(&f, &other, TailFrom::Beginning).await;
    assert_eq!(tail.ids(2).await, added);
    let _: String =
        redis.send(&[b"RENAME", key.as_bytes(), other.as_bytes()]).await.unwrap();
    recreated(&mut tail, &added[1]).await;
    assert_eq!(others.ids(2).await, added);
}
