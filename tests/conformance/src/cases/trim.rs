//! `XADD key MAXLEN ~ n * …`: trims approximately, never below n.

use crate::fixture::{Fixture, code, parts, values};

cases![
    without_maxlen_nothing_is_trimmed,
    maxlen_never_leaves_fewer_entries,
    maxlen_keeps_the_newest_entry,
    maxlen_bounds_the_stream,
    maxlen_beyond_the_length_trims_nothing,
    maxlen_may_be_the_greatest_safe_integer,
    maxlen_of_0_is_accepted,
    ids_increase_after_everything_was_trimmed,
    a_group_continues_with_the_first_entry_that_is_left,
];

/// Adds `n` entries with the values 0, 1, …, each with `maxlen`.
async fn add_with_maxlen(f: &Fixture, key: &str, n: usize, maxlen: usize) {
    for i in 0..n {
        let field = vec![("value".to_owned(), i.to_string())];
        f.backend
            .stream_add(key, field, Some(maxlen))
            .await
            .unwrap();
    }
}

/// Checks that the newest entries remain, and returns their number.
async fn remaining(f: &Fixture, key: &str, added: usize) -> usize {
    let entries = f.read(key, "0").await.unwrap();
    let expected: Vec<_> = (added - entries.len()..added)
        .map(|i| i.to_string())
        .collect();
    assert_eq!(values(&entries), expected);
    entries.len()
}

async fn without_maxlen_nothing_is_trimmed(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 300).await.unwrap();
    assert_eq!(remaining(&f, &key, 300).await, 300);
}

/// `~` may leave more than n entries, never fewer.
async fn maxlen_never_leaves_fewer_entries(f: Fixture) {
    for maxlen in [1, 2, 100] {
        let key = f.key();
        add_with_maxlen(&f, &key, 250, maxlen).await;
        let remaining = remaining(&f, &key, 250).await;
        assert!(
            remaining >= maxlen,
            "{remaining} entries with a maxlen of {maxlen}"
        );
    }
}

/// The oldest entries are trimmed first.
async fn maxlen_keeps_the_newest_entry(f: Fixture) {
    let key = f.key();
    for i in 0..120 {
        let field = vec![("value".to_owned(), i.to_string())];
        let id = f.backend.stream_add(&key, field, Some(1)).await.unwrap();
        let latest = f.backend.stream_read_latest(&key, 1).await.unwrap();
        assert_eq!(latest[0].0, id);
    }
}

/// Redis trims whole nodes of 100 entries, so a stream with a maxlen of 100 has at most some
/// hundred.
async fn maxlen_bounds_the_stream(f: Fixture) {
    let key = f.key();
    add_with_maxlen(&f, &key, 1_000, 100).await;
    let remaining = remaining(&f, &key, 1_000).await;
    assert!((100..=400).contains(&remaining), "{remaining} entries");
}

async fn maxlen_beyond_the_length_trims_nothing(f: Fixture) {
    let key = f.key();
    add_with_maxlen(&f, &key, 20, 1_000).await;
    assert_eq!(remaining(&f, &key, 20).await, 20);
}

/// 2^53 − 1, the greatest integer of JavaScript.
async fn maxlen_may_be_the_greatest_safe_integer(f: Fixture) {
    let key = f.key();
    add_with_maxlen(&f, &key, 2, 9_007_199_254_740_991).await;
    assert_eq!(remaining(&f, &key, 2).await, 2);
}

/// The add returns the new id although the entry may be trimmed already.
async fn maxlen_of_0_is_accepted(f: Fixture) {
    let key = f.key();
    let field = vec![("value".to_owned(), "1".to_owned())];
    let added = f.backend.stream_add(&key, field, Some(0)).await;
    assert_eq!(code(&added), "OK");
    let id = added.unwrap();
    assert!(parts(&id) > (0, 0));
    let left = f.read(&key, "0").await.unwrap();
    assert!(left.iter().all(|(left, _)| *left == id), "{left:?}");
}

/// An empty stream keeps its last id.
async fn ids_increase_after_everything_was_trimmed(f: Fixture) {
    let key = f.key();
    let mut last = (0, 0);
    for _ in 0..20 {
        let field = vec![("value".to_owned(), "1".to_owned())];
        let id = f.backend.stream_add(&key, field, Some(0)).await.unwrap();
        assert!(parts(&id) > last, "{id} after {last:?}");
        last = parts(&id);
    }
    let id = f.add(&key, "2").await.unwrap();
    assert!(parts(&id) > last);
    let after = f
        .read(&key, &format!("{}-{}", last.0, last.1))
        .await
        .unwrap();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].0, id);
}

/// If the entries before it were trimmed.
async fn a_group_continues_with_the_first_entry_that_is_left(f: Fixture) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    add_with_maxlen(&f, &key, 350, 100).await;
    let delivered = f.read_group_now(&key, "group", "consumer").await.unwrap();
    assert_eq!(delivered, f.read(&key, "0").await.unwrap());
    assert!(delivered.len() >= 100);
    let pending: Vec<_> = delivered.into_iter().map(|(id, _)| id).collect();
    f.backend.stream_ack(&key, "group", &pending).await.unwrap();
}
