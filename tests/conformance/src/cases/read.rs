//! `XREAD COUNT n STREAMS key id`, without waiting.

use crate::fixture::{Fixture, LONG_WAIT, ids};

cases![
    a_missing_key_is_empty,
    the_oldest_come_first,
    a_count_of_0_sets_no_limit,
    a_count_of_1_gives_the_next,
    a_count_beyond_the_length_gives_all,
    the_count_may_be_as_large_as_javascript_counts,
    reading_on_from_the_last_id_misses_and_repeats_nothing,
    a_read_without_a_wait_returns_at_once,
    a_read_with_a_wait_returns_what_is_there_at_once,
    a_stream_without_entries_is_empty,
];

/// A missing key reads as an empty stream, from any id.
async fn a_missing_key_is_empty(f: Fixture) {
    for id in ["0", "0-0", "5-1", "$"] {
        assert_eq!(f.read(&f.key(), id).await.unwrap(), [], "{id}");
    }
}

/// In the order of ids.
async fn the_oldest_come_first(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    assert_eq!(ids(&f.read(&key, "0").await.unwrap()), added);
    assert_eq!(ids(&f.backend.stream_read(&key, "0", 4, None).await.unwrap()), added[..4]);
}

/// XREAD COUNT 0 gives all, unlike XREVRANGE … COUNT 0.
async fn a_count_of_0_sets_no_limit(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 130).await.unwrap();
    assert_eq!(ids(&f.backend.stream_read(&key, "0", 0, None).await.unwrap()), added);
}

/// One is the first after the id.
async fn a_count_of_1_gives_the_next(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for next in 1..3 {
        let read = f.backend.stream_read(&key, &added[next - 1], 1, None).await.unwrap();
        assert_eq!(ids(&read), [&added[next]]);
    }
}

/// A count is a limit, not a demand.
async fn a_count_beyond_the_length_gives_all(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for count in [3, 4, 1_000_000] {
        assert_eq!(ids(&f.backend.stream_read(&key, "0", count, None).await.unwrap()), added);
    }
}

/// 2^53 − 1 is a count like any other.
async fn the_count_may_be_as_large_as_javascript_counts(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let read = f.backend.stream_read(&key, "0", 9_007_199_254_740_991, None).await.unwrap();
    assert_eq!(ids(&read), added);
}

/// Page after page gives the stream.
async fn reading_on_from_the_last_id_misses_and_repeats_nothing(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 50).await.unwrap();
    let mut read = Vec::new();
    let mut last_id = "0".to_owned();
    loop {
        let page = f.backend.stream_read(&key, &last_id, 7, None).await.unwrap();
        let Some((id, _)) = page.last() else { break };
        last_id.clone_from(id);
        read.extend(page.into_iter().map(|(id, _)| id));
        assert!(read.len() <= added.len(), "the pages do not end");
    }
    assert_eq!(read, added);
}

/// No BLOCK, no wait.
async fn a_read_without_a_wait_returns_at_once(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 1).await.unwrap();
    assert_eq!(f.read(&key, &added[0]).await.unwrap(), []);
}

/// XREAD BLOCK waits only if there is nothing to give, even if the wait has no limit.
async fn a_read_with_a_wait_returns_what_is_there_at_once(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for block_ms in [Some(0), Some(1), LONG_WAIT] {
        let read = f.backend.stream_read(&key, &added[0], 0, block_ms).await.unwrap();
        assert_eq!(ids(&read), added[1..]);
    }
}

/// XGROUP CREATE … MKSTREAM leaves a stream without entries.
async fn a_stream_without_entries_is_empty(f: Fixture) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    for id in ["0", "$", "7-7"] {
        assert_eq!(f.read(&key, id).await.unwrap(), [], "{id}");
    }
}
