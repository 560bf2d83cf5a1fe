//! `XINFO CONSUMERS key group`: the consumers of a group.

use streamgate_protocol::ConsumerInfo;
use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::MAX_NAME_BYTES;

use super::consume::stream_with_group;
use crate::fixture::{DirectRedis, Fixture, code, ids, let_idle};

cases![
    a_new_group_has_no_consumers,
    consumers_are_listed_by_name_with_their_pending_entries,
    a_consumer_without_pending_entries_is_listed,
    a_removed_consumer_is_not_listed,
    the_idle_time_counts_from_the_last_delivery,
    a_missing_group_or_stream_is_rejected,
    overlong_names_are_rejected,
    ;
    needs_redis:
    a_consumer_created_in_redis_is_listed,
];

async fn consumers(f: &Fixture, key: &str) -> Vec<ConsumerInfo> {
    f.backend.consumers(key, "group").await.unwrap()
}

/// Names, and numbers of pending entries.
async fn names(f: &Fixture, key: &str) -> Vec<(String, u64)> {
    let all = consumers(f, key).await.into_iter();
    all.map(|consumer| (consumer.name.into_text(), consumer.pending))
        .collect()
}

async fn a_new_group_has_no_consumers(f: Fixture) {
    let key = stream_with_group(&f).await;
    f.add(&key, "1").await.unwrap();
    assert_eq!(names(&f, &key).await, []);
}

async fn consumers_are_listed_by_name_with_their_pending_entries(f: Fixture) {
    let key = stream_with_group(&f).await;
    let added = f.add_in_sequence(&key, 5).await.unwrap();
    for (consumer, count) in [("bob", 2), ("ann", 1), ("zoe", 2)] {
        let read = f
            .backend
            .stream_read_group(&key, "group", consumer, count, None);
        assert_eq!(read.await.unwrap().len(), count);
    }
    f.backend
        .stream_ack(&key, "group", &added[..1])
        .await
        .unwrap();
    let expected = [("ann", 1), ("bob", 1), ("zoe", 2)];
    assert_eq!(
        names(&f, &key).await,
        expected.map(|(name, n)| (name.to_owned(), n))
    );
}

/// Its first delivery creates it; from Redis 7.2 on, so does a read that finds nothing.
async fn a_consumer_without_pending_entries_is_listed(f: Fixture) {
    let key = stream_with_group(&f).await;
    let id = f.add(&key, "1").await.unwrap();
    f.read_group_now(&key, "group", "ann").await.unwrap();
    f.backend.stream_ack(&key, "group", &[id]).await.unwrap();
    assert_eq!(names(&f, &key).await, [("ann".into(), 0)]);
}

/// Its entries are its new owner's.
async fn a_removed_consumer_is_not_listed(f: Fixture) {
    let key = stream_with_group(&f).await;
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let read = f.read_group_now(&key, "group", "ann").await.unwrap();
    assert_eq!(ids(&read), added);
    let handed_over = f.backend.remove_consumer(&key, "group", "ann", "bob");
    assert_eq!(handed_over.await, Ok(2));
    assert_eq!(names(&f, &key).await, [("bob".into(), 2)]);
}

/// An acknowledgement does not count.
async fn the_idle_time_counts_from_the_last_delivery(f: Fixture) {
    let key = stream_with_group(&f).await;
    let id = f.add(&key, "1").await.unwrap();
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let_idle(200).await;
    f.backend.stream_ack(&key, "group", &[id]).await.unwrap();
    let before = consumers(&f, &key).await[0].idle_ms;
    assert!(before >= 200, "{before} ms");
    f.add(&key, "2").await.unwrap();
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let after = consumers(&f, &key).await[0].idle_ms;
    assert!(after < before, "{after} ms after another delivery");
}

/// `NOGROUP`.
async fn a_missing_group_or_stream_is_rejected(f: Fixture) {
    let key = f.key();
    let missing = f.backend.consumers(&key, "group").await;
    assert_eq!(code(&missing), codes::NOGROUP);
    f.add(&key, "1").await.unwrap();
    let missing = f.backend.consumers(&key, "group").await;
    assert_eq!(code(&missing), codes::NOGROUP);
}

/// Stream and group.
async fn overlong_names_are_rejected(f: Fixture) {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    for (stream, group) in [(&*long, "group"), ("stream", &*long)] {
        let rejected = f.backend.consumers(stream, group).await;
        assert_eq!(code(&rejected), codes::LIMIT);
    }
}

/// `XGROUP CREATECONSUMER`.
async fn a_consumer_created_in_redis_is_listed(f: Fixture, redis: DirectRedis) {
    let key = stream_with_group(&f).await;
    let words: [&[u8]; 5] = [
        b"XGROUP",
        b"CREATECONSUMER",
        key.as_bytes(),
        b"group",
        b"ann",
    ];
    let created: u64 = redis.send(&words).await.unwrap();
    assert_eq!(created, 1);
    assert_eq!(names(&f, &key).await, [("ann".into(), 0)]);
}
