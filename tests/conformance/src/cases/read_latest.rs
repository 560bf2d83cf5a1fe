//! `XREVRANGE key + - COUNT n`.

use crate::fixture::{Fixture, ids};

cases![
    a_missing_key_reads_as_empty,
    the_newest_entries_come_first,
    a_count_of_0_returns_nothing,
    a_count_of_1_returns_the_newest_entry,
    a_count_beyond_the_length_returns_all_entries,
    the_count_may_be_the_greatest_safe_integer,
    a_stream_without_entries_reads_as_empty,
    an_add_sent_before_the_read_is_returned,
];

async fn a_missing_key_reads_as_empty(f: Fixture) {
    for count in [0, 1, 100] {
        assert_eq!(
            f.backend.stream_read_latest(&f.key(), count).await.unwrap(),
            []
        );
    }
}

/// In descending id order.
async fn the_newest_entries_come_first(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    let latest = f.backend.stream_read_latest(&key, 4).await.unwrap();
    assert_eq!(ids(&latest), added.iter().rev().take(4).collect::<Vec<_>>());
}

/// `XREVRANGE … COUNT 0` returns nothing, unlike `XREAD COUNT 0`.
async fn a_count_of_0_returns_nothing(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(f.backend.stream_read_latest(&key, 0).await.unwrap(), []);
}

async fn a_count_of_1_returns_the_newest_entry(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(
        ids(&f.backend.stream_read_latest(&key, 1).await.unwrap()),
        [&added[2]]
    );
}

/// A count is a maximum.
async fn a_count_beyond_the_length_returns_all_entries(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for count in [3, 4, 1_000_000] {
        let latest = f.backend.stream_read_latest(&key, count).await.unwrap();
        assert_eq!(ids(&latest), added.iter().rev().collect::<Vec<_>>());
    }
}

/// 2^53 − 1, the greatest integer of JavaScript.
async fn the_count_may_be_the_greatest_safe_integer(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 2).await.unwrap();
    let latest = f
        .backend
        .stream_read_latest(&key, 9_007_199_254_740_991)
        .await
        .unwrap();
    assert_eq!(latest.len(), 2);
}

/// `XGROUP CREATE … MKSTREAM` creates such a stream.
async fn a_stream_without_entries_reads_as_empty(f: Fixture) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    assert_eq!(f.backend.stream_read_latest(&key, 5).await.unwrap(), []);
}

/// Operations sent on one handle are executed in that order.
async fn an_add_sent_before_the_read_is_returned(f: Fixture) {
    let key = f.key();
    let (added, latest) =
        futures_util::future::join(f.add(&key, "1"), f.backend.stream_read_latest(&key, 1)).await;
    assert_eq!(ids(&latest.unwrap()), [added.unwrap()]);
}
