//! `XREAD COUNT n STREAMS key id`, without waiting.

use crate::fixture::{Fixture, LONG_WAIT, ids};

cases![
    a_missing_key_reads_as_empty,
    the_oldest_entries_come_first,
    a_count_of_0_sets_no_limit,
    a_count_of_1_returns_the_next_entry,
    a_count_beyond_the_length_returns_all_entries,
    the_count_may_be_the_greatest_safe_integer,
    paging_by_the_last_id_returns_each_entry_once,
    a_read_without_block_returns_at_once,
    a_read_with_block_returns_existing_entries_at_once,
    a_stream_without_entries_reads_as_empty,
];

/// From any id.
async fn a_missing_key_reads_as_empty(f: Fixture) {
    for id in ["0", "0-0", "5-1", "$"] {
        assert_eq!(f.read(&f.key(), id).await.unwrap(), [], "{id}");
    }
}

/// In id order.
async fn the_oldest_entries_come_first(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    assert_eq!(ids(&f.read(&key, "0").await.unwrap()), added);
    assert_eq!(
        ids(&f.backend.stream_read(&key, "0", 4, None).await.unwrap()),
        added[..4]
    );
}

/// `XREAD COUNT 0` returns everything, unlike `XREVRANGE … COUNT 0`.
async fn a_count_of_0_sets_no_limit(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 130).await.unwrap();
    assert_eq!(
        ids(&f.backend.stream_read(&key, "0", 0, None).await.unwrap()),
        added
    );
}

/// The first one after the id.
async fn a_count_of_1_returns_the_next_entry(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for next in 1..3 {
        let read = f
            .backend
            .stream_read(&key, &added[next - 1], 1, None)
            .await
            .unwrap();
        assert_eq!(ids(&read), [&added[next]]);
    }
}

/// A count is a maximum.
async fn a_count_beyond_the_length_returns_all_entries(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for count in [3, 4, 1_000_000] {
        assert_eq!(
            ids(&f.backend.stream_read(&key, "0", count, None).await.unwrap()),
            added
        );
    }
}

/// 2^53 − 1, the greatest integer of JavaScript.
async fn the_count_may_be_the_greatest_safe_integer(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let read = f
        .backend
        .stream_read(&key, "0", 9_007_199_254_740_991, None)
        .await
        .unwrap();
    assert_eq!(ids(&read), added);
}

async fn paging_by_the_last_id_returns_each_entry_once(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 50).await.unwrap();
    let mut read = Vec::new();
    let mut last_id = "0".to_owned();
    loop {
        let page = f
            .backend
            .stream_read(&key, &last_id, 7, None)
            .await
            .unwrap();
        let Some((id, _)) = page.last() else { break };
        last_id.clone_from(id);
        read.extend(page.into_iter().map(|(id, _)| id));
        assert!(read.len() <= added.len(), "the pages do not end");
    }
    assert_eq!(read, added);
}

async fn a_read_without_block_returns_at_once(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 1).await.unwrap();
    assert_eq!(f.read(&key, &added[0]).await.unwrap(), []);
}

/// `XREAD BLOCK` waits only if there is no entry to return, even without a limit.
async fn a_read_with_block_returns_existing_entries_at_once(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for block_ms in [Some(0), Some(1), LONG_WAIT] {
        let read = f
            .backend
            .stream_read(&key, &added[0], 0, block_ms)
            .await
            .unwrap();
        assert_eq!(ids(&read), added[1..]);
    }
}

/// `XGROUP CREATE … MKSTREAM` creates such a stream.
async fn a_stream_without_entries_reads_as_empty(f: Fixture) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    for id in ["0", "$", "7-7"] {
        assert_eq!(f.read(&key, id).await.unwrap(), [], "{id}");
    }
}
