//! `XREADGROUP GROUP g c COUNT n STREAMS key >`, without waiting.

use std::collections::HashSet;

use futures_util::future::join_all;
use streamgate_protocol::error::code as codes;

use crate::fixture::{DirectRedis, Fixture, LONG_WAIT, code, ids};

cases![
    a_missing_group_is_rejected,
    a_group_on_a_missing_key_is_rejected,
    a_missing_group_is_rejected_before_waiting,
    the_oldest_entries_come_first,
    an_entry_is_delivered_once,
    a_count_of_0_sets_no_limit,
    a_count_of_1_delivers_the_next_entry,
    a_count_beyond_the_length_delivers_all_entries,
    the_count_may_be_the_greatest_safe_integer,
    a_group_without_new_entries_reads_as_empty,
    consumers_share_the_entries,
    concurrent_consumers_share_the_entries,
    a_plain_read_still_returns_entries_delivered_to_a_group,
    ;
    needs_redis:
    delivered_entries_are_pending_for_their_consumer,
];

/// `NOGROUP`.
async fn a_missing_group_is_rejected(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    assert_eq!(
        code(&f.read_group_now(&key, "group", "consumer").await),
        codes::NOGROUP
    );
    f.backend
        .stream_create_group(&key, "other", "0")
        .await
        .unwrap();
    assert_eq!(
        code(&f.read_group_now(&key, "group", "consumer").await),
        codes::NOGROUP
    );
}

/// `NOGROUP`, and no stream is created.
async fn a_group_on_a_missing_key_is_rejected(f: Fixture) {
    let key = f.key();
    assert_eq!(
        code(&f.read_group_now(&key, "group", "consumer").await),
        codes::NOGROUP
    );
    assert_eq!(f.read(&key, "0").await.unwrap(), []);
}

async fn a_missing_group_is_rejected_before_waiting(f: Fixture) {
    let key = f.key();
    for _ in 0..2 {
        let rejected = f
            .backend
            .stream_read_group(&key, "group", "consumer", 1, LONG_WAIT)
            .await;
        assert_eq!(code(&rejected), codes::NOGROUP);
        f.add(&key, "1").await.unwrap();
    }
}

/// In id order.
async fn the_oldest_entries_come_first(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    let delivered = f
        .backend
        .stream_read_group(&key, "group", "consumer", 4, None)
        .await
        .unwrap();
    assert_eq!(ids(&delivered), added[..4]);
    assert_eq!(
        delivered,
        f.backend.stream_read(&key, "0", 4, None).await.unwrap()
    );
}

/// Not again to the same consumer either.
async fn an_entry_is_delivered_once(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
        added
    );
    assert_eq!(
        f.read_group_now(&key, "group", "consumer").await.unwrap(),
        []
    );
    assert_eq!(
        f.read_group_now(&key, "group", "another").await.unwrap(),
        []
    );
}

/// `XREADGROUP COUNT 0` delivers everything.
async fn a_count_of_0_sets_no_limit(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 130).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    let delivered = f
        .backend
        .stream_read_group(&key, "group", "consumer", 0, None)
        .await
        .unwrap();
    assert_eq!(ids(&delivered), added);
}

async fn a_count_of_1_delivers_the_next_entry(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    for id in &added {
        let delivered = f
            .backend
            .stream_read_group(&key, "group", "consumer", 1, None)
            .await
            .unwrap();
        assert_eq!(ids(&delivered), [id]);
    }
}

/// A count is a maximum.
async fn a_count_beyond_the_length_delivers_all_entries(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for count in [3, 4, 1_000_000] {
        let group = format!("group{count}");
        f.backend
            .stream_create_group(&key, &group, "0")
            .await
            .unwrap();
        let delivered = f
            .backend
            .stream_read_group(&key, &group, "c", count, None)
            .await
            .unwrap();
        assert_eq!(ids(&delivered), added);
    }
}

/// 2^53 − 1, the greatest integer of JavaScript.
async fn the_count_may_be_the_greatest_safe_integer(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    let count = 9_007_199_254_740_991;
    let delivered = f
        .backend
        .stream_read_group(&key, "group", "c", count, None)
        .await
        .unwrap();
    assert_eq!(ids(&delivered), added);
}

async fn a_group_without_new_entries_reads_as_empty(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    assert_eq!(
        f.read_group_now(&key, "group", "consumer").await.unwrap(),
        []
    );
}

/// Each entry goes to one of them.
async fn consumers_share_the_entries(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 9).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    let mut delivered = Vec::new();
    for consumer in ["a", "b", "c"] {
        let part = f
            .backend
            .stream_read_group(&key, "group", consumer, 3, None)
            .await
            .unwrap();
        assert_eq!(part.len(), 3);
        delivered.extend(part.into_iter().map(|(id, _)| id));
    }
    assert_eq!(delivered, added);
}

/// Each entry is delivered once.
async fn concurrent_consumers_share_the_entries(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 100).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    let consumer = |i: usize| {
        let (f, key) = (&f, &key);
        async move {
            let mut delivered = Vec::new();
            let name = format!("consumer{i}");
            loop {
                let part = f
                    .backend
                    .stream_read_group(key, "group", &name, 3, None)
                    .await
                    .unwrap();
                if part.is_empty() {
                    return delivered;
                }
                delivered.extend(part.into_iter().map(|(id, _)| id));
                assert!(delivered.len() <= 100, "the entries do not end");
            }
        }
    };
    let delivered = join_all((0..8).map(consumer)).await.concat();
    assert_eq!(delivered.len(), added.len());
    assert_eq!(
        delivered.iter().collect::<HashSet<_>>(),
        added.iter().collect()
    );
}

/// A group removes nothing from the stream.
async fn a_plain_read_still_returns_entries_delivered_to_a_group(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    f.read_group_now(&key, "group", "consumer").await.unwrap();
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(ids(&f.read(&key, "0").await.unwrap()), added);
}

/// As `XPENDING` reports.
async fn delivered_entries_are_pending_for_their_consumer(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
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
    let pending: Vec<(String, String, u64, u64)> = redis
        .send(&[b"XPENDING", key.as_bytes(), b"group", b"-", b"+", b"10"])
        .await
        .unwrap();
    let pending: Vec<_> = pending
        .iter()
        .map(|(id, consumer, _, times)| (id, consumer.as_str(), *times))
        .collect();
    assert_eq!(pending, [(&added[0], "one", 1), (&added[1], "two", 1)]);
}
