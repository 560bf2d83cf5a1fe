//! Other programs delete streams and entries (`DEL`, `XDEL`) while readers wait.

use futures_util::future::join;
use streamgate_protocol::error::code as codes;

use crate::fixture::{
    DirectRedis, Fixture, LONG_WAIT, assert_keeps_waiting, code, ids, settle, started,
};

cases![
    ;
    needs_redis:
    a_read_keeps_waiting_while_its_stream_is_deleted_and_recreated,
    smaller_ids_of_a_recreated_stream_do_not_end_a_read,
    a_read_from_dollar_keeps_waiting_while_its_stream_is_deleted,
    a_deleted_stream_reads_as_empty,
    a_deleted_stream_has_no_groups,
    deleting_a_stream_ends_waiting_group_reads,
    a_stream_recreated_with_its_group_works_again,
    a_deleted_pending_entry_blocks_nobody,
    an_entry_deleted_before_its_delivery_is_skipped,
    a_stream_without_entries_blocks_nobody,
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

/// The clock gives the new stream a greater id, so the read returns it.
async fn a_read_keeps_waiting_while_its_stream_is_deleted_and_recreated(
    f: Fixture,
    redis: DirectRedis,
) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let wait = started(f.backend.stream_read(&key, &added[1], 10, LONG_WAIT));
    let rest = async {
        settle().await;
        delete_directly(&redis, &key).await;
        settle().await;
        f.add(&key, "new").await.unwrap()
    };
    let (read, id) = join(wait, rest).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// `XREAD BLOCK` keeps its id whatever happens to the key.
async fn smaller_ids_of_a_recreated_stream_do_not_end_a_read(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    add_directly(&redis, &key, "100-1").await;
    let mut wait = started(f.backend.stream_read(&key, "100-1", 10, LONG_WAIT));
    settle().await;
    delete_directly(&redis, &key).await;
    add_directly(&redis, &key, "5-1").await;
    add_directly(&redis, &key, "100-0").await;
    assert_keeps_waiting(&mut wait, 500).await;
    add_directly(&redis, &key, "100-2").await;
    assert_eq!(ids(&wait.await.unwrap()), ["100-2"]);
}

/// `$` is resolved when the read starts, and never again.
async fn a_read_from_dollar_keeps_waiting_while_its_stream_is_deleted(
    f: Fixture,
    redis: DirectRedis,
) {
    let key = f.key();
    add_directly(&redis, &key, "100-1").await;
    let mut wait = started(f.backend.stream_read(&key, "$", 10, LONG_WAIT));
    settle().await;
    delete_directly(&redis, &key).await;
    add_directly(&redis, &key, "5-1").await;
    assert_keeps_waiting(&mut wait, 500).await;
    add_directly(&redis, &key, "200-1").await;
    assert_eq!(ids(&wait.await.unwrap()), ["200-1"]);
}

/// As a key that never existed.
async fn a_deleted_stream_reads_as_empty(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.add_in_sequence(&key, 2).await.unwrap();
    assert_eq!(f.read(&key, "0").await.unwrap().len(), 2);
    delete_directly(&redis, &key).await;
    assert_eq!(f.read(&key, "0").await.unwrap(), []);
    assert_eq!(f.backend.stream_read_latest(&key, 5).await.unwrap(), []);
}

/// They are deleted with it.
async fn a_deleted_stream_has_no_groups(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    f.read_group_now(&key, "group", "consumer").await.unwrap();
    delete_directly(&redis, &key).await;
    assert_eq!(
        code(&f.read_group_now(&key, "group", "consumer").await),
        codes::NOGROUP
    );
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
}

/// The group is gone: `NOGROUP`.
async fn deleting_a_stream_ends_waiting_group_reads(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    let wait = started(
        f.backend
            .stream_read_group(&key, "group", "consumer", 1, LONG_WAIT),
    );
    let rest = async {
        settle().await;
        delete_directly(&redis, &key).await;
    };
    let (delivered, ()) = join(wait, rest).await;
    assert_eq!(code(&delivered), codes::NOGROUP);
}

/// No state of the old stream is left.
async fn a_stream_recreated_with_its_group_works_again(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    for _ in 0..3 {
        f.backend
            .stream_create_group(&key, "group", "$")
            .await
            .unwrap();
        let wait = started(
            f.backend
                .stream_read_group(&key, "group", "consumer", 1, LONG_WAIT),
        );
        let (delivered, id) = join(wait, f.add(&key, "new")).await;
        assert_eq!(ids(&delivered.unwrap()), [id.unwrap()]);
        delete_directly(&redis, &key).await;
    }
}

/// It can be acknowledged, and new entries are delivered.
async fn a_deleted_pending_entry_blocks_nobody(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    f.backend
        .stream_read_group(&key, "group", "consumer", 2, None)
        .await
        .unwrap();
    let deleted: u64 = redis
        .send(&[
            b"XDEL",
            key.as_bytes(),
            added[0].as_bytes(),
            added[1].as_bytes(),
        ])
        .await
        .unwrap();
    assert_eq!(deleted, 2);
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
        added[2..]
    );
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    let pending: (u64, redis::Value, redis::Value, redis::Value) = redis
        .send(&[b"XPENDING", key.as_bytes(), b"group"])
        .await
        .unwrap();
    assert_eq!(pending.0, 0);
    let wait = started(
        f.backend
            .stream_read_group(&key, "group", "consumer", 1, LONG_WAIT),
    );
    let (delivered, id) = join(wait, f.add(&key, "new")).await;
    assert_eq!(ids(&delivered.unwrap()), [id.unwrap()]);
}

/// `>` delivers existing entries only.
async fn an_entry_deleted_before_its_delivery_is_skipped(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    let deleted: u64 = redis
        .send(&[b"XDEL", key.as_bytes(), added[1].as_bytes()])
        .await
        .unwrap();
    assert_eq!(deleted, 1);
    let delivered = f.read_group_now(&key, "group", "consumer").await.unwrap();
    assert_eq!(ids(&delivered), [&added[0], &added[2]]);
}

/// An empty stream still exists: it keeps its group and its last id.
async fn a_stream_without_entries_blocks_nobody(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    for id in &added {
        let deleted: u64 = redis
            .send(&[b"XDEL", key.as_bytes(), id.as_bytes()])
            .await
            .unwrap();
        assert_eq!(deleted, 1);
    }
    assert_eq!(f.read(&key, "0").await.unwrap(), []);
    assert_eq!(
        f.read_group_now(&key, "group", "consumer").await.unwrap(),
        []
    );
    let read = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    let delivered = started(
        f.backend
            .stream_read_group(&key, "group", "consumer", 1, LONG_WAIT),
    );
    let (both, id) = join(join(read, delivered), f.add(&key, "new")).await;
    let id = id.unwrap();
    assert_eq!(ids(&both.0.unwrap()), [&id]);
    assert_eq!(ids(&both.1.unwrap()), [&id]);
}
