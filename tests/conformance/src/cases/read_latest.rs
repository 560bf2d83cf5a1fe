//! `XREVRANGE key + - COUNT n`.

use crate::fixture::{Fixture, ids};

cases![
    a_missing_key_is_empty,
    the_newest_come_first,
    a_count_of_0_gives_nothing,
    a_count_of_1_gives_the_newest,
    a_count_beyond_the_length_gives_all,
    the_count_may_be_as_large_as_javascript_counts,
    a_stream_without_entries_is_empty,
    an_add_asked_before_it_is_seen,
];

/// A missing key reads as an empty stream.
async fn a_missing_key_is_empty(f: Fixture) {
    for count in [0, 1, 100] {
        assert_eq!(f.backend.stream_read_latest(&f.key(), count).await.unwrap(), []);
    }
}

/// From the end backwards, each entry once.
async fn the_newest_come_first(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    let latest = f.backend.stream_read_latest(&key, 4).await.unwrap();
    assert_eq!(ids(&latest), added.iter().rev().take(4).collect::<Vec<_>>());
}

/// XREVRANGE … COUNT 0 gives nothing, unlike XREAD COUNT 0.
async fn a_count_of_0_gives_nothing(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(f.backend.stream_read_latest(&key, 0).await.unwrap(), []);
}

/// One is the last that was added.
async fn a_count_of_1_gives_the_newest(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(ids(&f.backend.stream_read_latest(&key, 1).await.unwrap()), [&added[2]]);
}

/// A count is a limit, not a demand.
async fn a_count_beyond_the_length_gives_all(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for count in [3, 4, 1_000_000] {
        let latest = f.backend.stream_read_latest(&key, count).await.unwrap();
        assert_eq!(ids(&latest), added.iter().rev().collect::<Vec<_>>());
    }
}

/// 2^53 − 1 is a count like any other.
async fn the_count_may_be_as_large_as_javascript_counts(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 2).await.unwrap();
    let latest = f.backend.stream_read_latest(&key, 9_007_199_254_740_991).await.unwrap();
    assert_eq!(latest.len(), 2);
}

/// XGROUP CREATE … MKSTREAM leaves a stream without entries.
async fn a_stream_without_entries_is_empty(f: Fixture) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    assert_eq!(f.backend.stream_read_latest(&key, 5).await.unwrap(), []);
}

/// Operations asked on one handle are carried out in that order.
async fn an_add_asked_before_it_is_seen(f: Fixture) {
    let key = f.key();
    let (added, latest) =
        futures_util::future::join(f.add(&key, "1"), f.backend.stream_read_latest(&key, 1)).await;
    assert_eq!(ids(&latest.unwrap()), [added.unwrap()]);
}
