//! `XADD key MAXLEN ~ n * …`: trims about, and never below n.

use crate::fixture::{Fixture, code, parts, values};

cases![
    without_maxlen_nothing_is_trimmed,
    maxlen_never_leaves_fewer,
    maxlen_leaves_the_newest,
    maxlen_does_trim_in_the_end,
    maxlen_larger_than_the_stream_trims_nothing,
    maxlen_may_be_as_large_as_javascript_counts,
    maxlen_of_0_is_taken,
    ids_grow_after_everything_was_trimmed,
    trimming_does_not_disturb_a_group,
];

/// Adds `n` entries that count from 0, each with this maxlen.
async fn fill(f: &Fixture, key: &str, n: usize, maxlen: usize) {
    for i in 0..n {
        let field = vec![("value".to_owned(), i.to_string())];
        f.backend.stream_add(key, field, Some(maxlen)).await.unwrap();
    }
}

/// Checks that what is left is the newest, and returns how many that is.
async fn left(f: &Fixture, key: &str, added: usize) -> usize {
    let entries = f.read(key, "0").await.unwrap();
    let expected: Vec<_> = (added - entries.len()..added).map(|i| i.to_string()).collect();
    assert_eq!(values(&entries), expected);
    entries.len()
}

/// No MAXLEN, no trimming.
async fn without_maxlen_nothing_is_trimmed(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 300).await.unwrap();
    assert_eq!(left(&f, &key, 300).await, 300);
}

/// `~` may leave more than n, not fewer.
async fn maxlen_never_leaves_fewer(f: Fixture) {
    for maxlen in [1, 2, 100] {
        let key = f.key();
        fill(&f, &key, 250, maxlen).await;
        let left = left(&f, &key, 250).await;
        assert!(left >= maxlen, "{left} of at least {maxlen}");
    }
}

/// The oldest go first: the newest entry is always there.
async fn maxlen_leaves_the_newest(f: Fixture) {
    let key = f.key();
    for i in 0..120 {
        let field = vec![("value".to_owned(), i.to_string())];
        let id = f.backend.stream_add(&key, field, Some(1)).await.unwrap();
        let latest = f.backend.stream_read_latest(&key, 1).await.unwrap();
        assert_eq!(latest[0].0, id);
    }
}

/// Redis trims whole nodes of 100 entries, so that a stream of maxlen 100 stays below a few
/// hundred.
async fn maxlen_does_trim_in_the_end(f: Fixture) {
    let key = f.key();
    fill(&f, &key, 1_000, 100).await;
    let left = left(&f, &key, 1_000).await;
    assert!((100..=400).contains(&left), "{left} entries");
}

/// A maxlen beyond the length changes nothing.
async fn maxlen_larger_than_the_stream_trims_nothing(f: Fixture) {
    let key = f.key();
    fill(&f, &key, 20, 1_000).await;
    assert_eq!(left(&f, &key, 20).await, 20);
}

/// 2^53 − 1 is a length like any other.
async fn maxlen_may_be_as_large_as_javascript_counts(f: Fixture) {
    let key = f.key();
    fill(&f, &key, 2, 9_007_199_254_740_991).await;
    assert_eq!(left(&f, &key, 2).await, 2);
}

/// A maxlen of 0 is no error, and gives the new entry's id though it may be gone already.
async fn maxlen_of_0_is_taken(f: Fixture) {
    let key = f.key();
    let field = vec![("value".to_owned(), "1".to_owned())];
    let added = f.backend.stream_add(&key, field, Some(0)).await;
    assert_eq!(code(&added), "OK");
    let id = added.unwrap();
    assert!(parts(&id) > (0, 0));
    let left = f.read(&key, "0").await.unwrap();
    assert!(left.iter().all(|(left, _)| *left == id), "{left:?}");
}

/// A stream that was trimmed to nothing remembers its last id.
async fn ids_grow_after_everything_was_trimmed(f: Fixture) {
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
    let after = f.read(&key, &format!("{}-{}", last.0, last.1)).await.unwrap();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].0, id);
}

/// A group whose next entries were trimmed goes on with the first that is left.
async fn trimming_does_not_disturb_a_group(f: Fixture) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    fill(&f, &key, 350, 100).await;
    let taken = f.read_group_now(&key, "group", "consumer").await.unwrap();
    assert_eq!(taken, f.read(&key, "0").await.unwrap());
    assert!(taken.len() >= 100);
    let pending: Vec<_> = taken.into_iter().map(|(id, _)| id).collect();
    f.backend.stream_ack(&key, "group", &pending).await.unwrap();
}
