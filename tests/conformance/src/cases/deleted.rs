//! `DEL`, `XDEL` and `XGROUP DESTROY` by somebody else, under readers.

use std::time::Duration;

use futures_util::future::join;
use streamgate_protocol::error::code as codes;

use crate::fixture::{Fixture, LONG_WAIT, DirectRedis, started, code, ids};

cases![
    ;
    needs_redis:
    a_reader_waits_on_while_its_stream_is_deleted_and_recreated,
    a_reader_is_not_woken_by_the_smaller_ids_of_a_recreated_stream,
    a_reader_from_now_waits_on_while_its_stream_is_deleted,
    a_deleted_stream_reads_as_empty,
    a_deleted_stream_has_no_group,
    a_deleted_stream_ends_a_consumers_wait,
    a_stream_recreated_with_its_group_serves_consumers_again,
    a_deleted_pending_entry_wedges_nobody,
    an_entry_deleted_before_it_was_given_is_not_given,
    a_stream_whose_every_entry_is_deleted_wedges_nobody,
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

/// The next id of the clock is greater than any before, so the reader sees it.
async fn a_reader_waits_on_while_its_stream_is_deleted_and_recreated(
    f: Fixture,
    redis: DirectRedis,
) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let wait = started(f.backend.stream_read(&key, &added[1], 10, LONG_WAIT));
    let rest = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        delete(&redis, &key).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        f.add(&key, "new").await.unwrap()
    };
    let (read, id) = join(wait, rest).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// XREAD BLOCK keeps its id whatever becomes of the key.
async fn a_reader_is_not_woken_by_the_smaller_ids_of_a_recreated_stream(
    f: Fixture,
    redis: DirectRedis,
) {
    let key = f.key();
    add(&redis, &key, "100-1").await;
    let mut wait = started(f.backend.stream_read(&key, "100-1", 10, LONG_WAIT));
    tokio::time::sleep(Duration::from_millis(200)).await;
    delete(&redis, &key).await;
    add(&redis, &key, "5-1").await;
    add(&redis, &key, "100-0").await;
    let early = tokio::time::timeout(Duration::from_millis(500), &mut wait).await;
    assert!(early.is_err(), "woken by a smaller id: {early:?}");
    add(&redis, &key, "100-2").await;
    assert_eq!(ids(&wait.await.unwrap()), ["100-2"]);
}

/// `$` was resolved when it was asked, and is not resolved again.
async fn a_reader_from_now_waits_on_while_its_stream_is_deleted(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    add(&redis, &key, "100-1").await;
    let mut wait = started(f.backend.stream_read(&key, "$", 10, LONG_WAIT));
    tokio::time::sleep(Duration::from_millis(200)).await;
    delete(&redis, &key).await;
    add(&redis, &key, "5-1").await;
    let early = tokio::time::timeout(Duration::from_millis(500), &mut wait).await;
    assert!(early.is_err(), "woken by a smaller id: {early:?}");
    add(&redis, &key, "200-1").await;
    assert_eq!(ids(&wait.await.unwrap()), ["200-1"]);
}

/// As a key that never was.
async fn a_deleted_stream_reads_as_empty(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.add_in_sequence(&key, 2).await.unwrap();
    assert_eq!(f.read(&key, "0").await.unwrap().len(), 2);
    delete(&redis, &key).await;
    assert_eq!(f.read(&key, "0").await.unwrap(), []);
    assert_eq!(f.backend.stream_read_latest(&key, 5).await.unwrap(), []);
}

/// Groups go with their stream.
async fn a_deleted_stream_has_no_group(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    f.read_group_now(&key, "group", "consumer").await.unwrap();
    delete(&redis, &key).await;
    assert_eq!(code(&f.read_group_now(&key, "group", "consumer").await), codes::NOGROUP);
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
}

/// The group is gone, so there is nothing to wait for.
async fn a_deleted_stream_ends_a_consumers_wait(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    let wait = started(f.backend.stream_read_group(&key, "group", "consumer", 1, LONG_WAIT));
    let rest = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        delete(&redis, &key).await;
    };
    let (taken, ()) = join(wait, rest).await;
    assert_eq!(code(&taken), codes::NOGROUP);
}

/// Nothing of the old stream is left in the way.
async fn a_stream_recreated_with_its_group_serves_consumers_again(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    for _ in 0..3 {
        f.backend.stream_create_group(&key, "group", "$").await.unwrap();
        let wait = started(f.backend.stream_read_group(&key, "group", "consumer", 1, LONG_WAIT));
        let (taken, id) = join(wait, f.add(&key, "new")).await;
        assert_eq!(ids(&taken.unwrap()), [id.unwrap()]);
        delete(&redis, &key).await;
    }
}

/// It can be acknowledged, and what is new is given.
async fn a_deleted_pending_entry_wedges_nobody(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    f.backend.stream_read_group(&key, "group", "consumer", 2, None).await.unwrap();
    let deleted: u64 = redis
        .send(&[b"XDEL", key.as_bytes(), added[0].as_bytes(), added[1].as_bytes()])
        .await
        .unwrap();
    assert_eq!(deleted, 2);
    assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), added[2..]);
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    let pending: (u64, redis::Value, redis::Value, redis::Value) =
        redis.send(&[b"XPENDING", key.as_bytes(), b"group"]).await.unwrap();
    assert_eq!(pending.0, 0);
    let wait = started(f.backend.stream_read_group(&key, "group", "consumer", 1, LONG_WAIT));
    let (taken, id) = join(wait, f.add(&key, "new")).await;
    assert_eq!(ids(&taken.unwrap()), [id.unwrap()]);
}

/// `>` gives what is there.
async fn an_entry_deleted_before_it_was_given_is_not_given(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    let deleted: u64 = redis.send(&[b"XDEL", key.as_bytes(), added[1].as_bytes()]).await.unwrap();
    assert_eq!(deleted, 1);
    let taken = f.read_group_now(&key, "group", "consumer").await.unwrap();
    assert_eq!(ids(&taken), [&added[0], &added[2]]);
}

/// Empty is not missing: the group is still there, and so is the last id.
async fn a_stream_whose_every_entry_is_deleted_wedges_nobody(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    for id in &added {
        let deleted: u64 = redis.send(&[b"XDEL", key.as_bytes(), id.as_bytes()]).await.unwrap();
        assert_eq!(deleted, 1);
    }
    assert_eq!(f.read(&key, "0").await.unwrap(), []);
    assert_eq!(f.read_group_now(&key, "group", "consumer").await.unwrap(), []);
    let read = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    let taken = started(f.backend.stream_read_group(&key, "group", "consumer", 1, LONG_WAIT));
    let (both, id) = join(join(read, taken), f.add(&key, "new")).await;
    let id = id.unwrap();
    assert_eq!(ids(&both.0.unwrap()), [&id]);
    assert_eq!(ids(&both.1.unwrap()), [&id]);
}
