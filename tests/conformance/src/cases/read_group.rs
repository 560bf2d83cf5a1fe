//! `XREADGROUP GROUP g c COUNT n STREAMS key >`, without waiting.

use std::collections::HashSet;

use futures_util::future::join_all;
use streamgate_protocol::error::code as codes;

use crate::fixture::{Fixture, LONG_WAIT, DirectRedis, code, ids};

cases![
    a_missing_group_is_refused,
    a_group_on_a_missing_key_is_refused,
    a_missing_group_is_refused_before_waiting,
    the_oldest_come_first,
    an_entry_is_given_once,
    a_count_of_0_sets_no_limit,
    a_count_of_1_gives_the_next,
    a_count_beyond_the_length_gives_all,
    the_count_may_be_as_large_as_javascript_counts,
    nothing_new_is_empty,
    consumers_share_the_entries,
    consumers_that_read_at_the_same_time_share_the_entries,
    a_plain_read_still_sees_what_a_group_was_given,
    ;
    needs_redis:
    what_was_given_is_pending_for_that_consumer,
];

/// NOGROUP.
async fn a_missing_group_is_refused(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    assert_eq!(code(&f.read_group_now(&key, "group", "consumer").await), codes::NOGROUP);
    f.backend.stream_create_group(&key, "other", "0").await.unwrap();
    assert_eq!(code(&f.read_group_now(&key, "group", "consumer").await), codes::NOGROUP);
}

/// NOGROUP too.
async fn a_group_on_a_missing_key_is_refused(f: Fixture) {
    let key = f.key();
    assert_eq!(code(&f.read_group_now(&key, "group", "consumer").await), codes::NOGROUP);
    assert_eq!(f.read(&key, "0").await.unwrap(), []);
}

/// A wait does not hide the error.
async fn a_missing_group_is_refused_before_waiting(f: Fixture) {
    let key = f.key();
    for _ in 0..2 {
        let refused = f.backend.stream_read_group(&key, "group", "consumer", 1, LONG_WAIT).await;
        assert_eq!(code(&refused), codes::NOGROUP);
        f.add(&key, "1").await.unwrap();
    }
}

/// In the order of ids.
async fn the_oldest_come_first(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    let taken = f.backend.stream_read_group(&key, "group", "consumer", 4, None).await.unwrap();
    assert_eq!(ids(&taken), added[..4]);
    assert_eq!(taken, f.backend.stream_read(&key, "0", 4, None).await.unwrap());
}

/// To its consumer neither.
async fn an_entry_is_given_once(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), added);
    assert_eq!(f.read_group_now(&key, "group", "consumer").await.unwrap(), []);
    assert_eq!(f.read_group_now(&key, "group", "another").await.unwrap(), []);
}

/// XREADGROUP COUNT 0 gives all.
async fn a_count_of_0_sets_no_limit(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 130).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    let taken = f.backend.stream_read_group(&key, "group", "consumer", 0, None).await.unwrap();
    assert_eq!(ids(&taken), added);
}

/// One at a time.
async fn a_count_of_1_gives_the_next(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    for id in &added {
        let taken = f.backend.stream_read_group(&key, "group", "consumer", 1, None).await.unwrap();
        assert_eq!(ids(&taken), [id]);
    }
}

/// A count is a limit, not a demand.
async fn a_count_beyond_the_length_gives_all(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for count in [3, 4, 1_000_000] {
        let group = format!("group{count}");
        f.backend.stream_create_group(&key, &group, "0").await.unwrap();
        let taken = f.backend.stream_read_group(&key, &group, "c", count, None).await.unwrap();
        assert_eq!(ids(&taken), added);
    }
}

/// 2^53 − 1 is a count like any other.
async fn the_count_may_be_as_large_as_javascript_counts(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    let count = 9_007_199_254_740_991;
    let taken = f.backend.stream_read_group(&key, "group", "c", count, None).await.unwrap();
    assert_eq!(ids(&taken), added);
}

/// No entries, no error.
async fn nothing_new_is_empty(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    assert_eq!(f.read_group_now(&key, "group", "consumer").await.unwrap(), []);
}

/// Each entry to one of them.
async fn consumers_share_the_entries(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 9).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    let mut taken = Vec::new();
    for consumer in ["a", "b", "c"] {
        let part = f.backend.stream_read_group(&key, "group", consumer, 3, None).await.unwrap();
        assert_eq!(part.len(), 3);
        taken.extend(part.into_iter().map(|(id, _)| id));
    }
    assert_eq!(taken, added);
}

/// None missing, none twice.
async fn consumers_that_read_at_the_same_time_share_the_entries(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 100).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    let consumer = |i: usize| {
        let (f, key) = (&f, &key);
        async move {
            let mut taken = Vec::new();
            let name = format!("consumer{i}");
            loop {
                let part = f.backend.stream_read_group(key, "group", &name, 3, None).await.unwrap();
                if part.is_empty() {
                    return taken;
                }
                taken.extend(part.into_iter().map(|(id, _)| id));
                assert!(taken.len() <= 100, "the entries do not end");
            }
        }
    };
    let taken = join_all((0..8).map(consumer)).await.concat();
    assert_eq!(taken.len(), added.len());
    assert_eq!(taken.iter().collect::<HashSet<_>>(), added.iter().collect());
}

/// A group takes nothing out of the stream.
async fn a_plain_read_still_sees_what_a_group_was_given(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    f.read_group_now(&key, "group", "consumer").await.unwrap();
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(ids(&f.read(&key, "0").await.unwrap()), added);
}

/// XPENDING names the consumer for each entry it was given.
async fn what_was_given_is_pending_for_that_consumer(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    f.backend.stream_read_group(&key, "group", "one", 1, None).await.unwrap();
    f.backend.stream_read_group(&key, "group", "two", 1, None).await.unwrap();
    let pending: Vec<(String, String, u64, u64)> = redis
        .send(&[b"XPENDING", key.as_bytes(), b"group", b"-", b"+", b"10"])
        .await
        .unwrap();
    let pending: Vec<_> =
        pending.iter().map(|(id, consumer, _, times)| (id, consumer.as_str(), *times)).collect();
    assert_eq!(pending, [(&added[0], "one", 1), (&added[1], "two", 1)]);
}
