//! `XREAD BLOCK`: an added entry ends a wait.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};

use crate::fixture::{DirectRedis, Fixture, LONG_WAIT, assert_keeps_waiting, ids, settle, started};

cases![
    an_entry_ends_a_wait,
    a_wait_without_a_limit_lasts_until_an_entry,
    all_waits_on_a_stream_receive_the_entry,
    waits_on_one_stream_may_have_different_ids,
    an_entry_on_another_stream_ends_no_wait,
    the_first_entry_of_a_missing_key_ends_a_wait,
    creating_a_group_ends_no_wait,
    a_reader_that_waits_repeatedly_receives_each_entry_once,
    readers_with_different_counts_receive_the_same,
    a_wait_ended_by_many_entries_respects_its_count,
    ;
    needs_redis:
    an_entry_added_directly_to_redis_ends_a_wait,
    an_entry_with_a_smaller_id_ends_no_wait,
];

/// The wait returns the entry, long before its limit.
async fn an_entry_ends_a_wait(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 1).await.unwrap();
    let wait = started(f.backend.stream_read(&key, &added[0], 10, LONG_WAIT));
    let add = async {
        settle().await;
        f.add(&key, "new").await.unwrap()
    };
    let (read, id) = join(wait, add).await;
    assert_eq!(ids(&read.unwrap()), [&id]);
}

/// `BLOCK 0` has no limit.
async fn a_wait_without_a_limit_lasts_until_an_entry(f: Fixture) {
    let key = f.key();
    let mut wait = started(f.backend.stream_read(&key, "$", 1, Some(0)));
    assert_keeps_waiting(&mut wait, 1_500).await;
    let (read, id) = join(wait, f.add(&key, "new")).await;
    assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
}

/// A plain read removes nothing.
async fn all_waits_on_a_stream_receive_the_entry(f: Fixture) {
    let key = f.key();
    let first = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    let second = started(f.backend.stream_read(&key, "0", 1, LONG_WAIT));
    let ((first, second), id) = join(join(first, second), f.add(&key, "new")).await;
    let id = id.unwrap();
    assert_eq!(ids(&first.unwrap()), [&id]);
    assert_eq!(ids(&second.unwrap()), [&id]);
}

/// An entry ends only the waits from smaller ids.
async fn waits_on_one_stream_may_have_different_ids(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 1).await.unwrap();
    let beyond = "99999999999999-1";
    let near = started(f.backend.stream_read(&key, &added[0], 10, LONG_WAIT));
    let far = started(f.backend.stream_read(&key, beyond, 10, Some(1_000)));
    let ((near, far), id) = join(join(near, far), f.add(&key, "new")).await;
    assert_eq!(ids(&near.unwrap()), [id.unwrap()]);
    assert_eq!(far.unwrap(), []);
}

/// Even if one key is a prefix of the other.
async fn an_entry_on_another_stream_ends_no_wait(f: Fixture) {
    let key = f.key();
    let other = format!("{key}:more");
    let start = Instant::now();
    let wait = started(f.backend.stream_read(&key, "0", 1, Some(800)));
    let (read, added) = join(wait, f.add(&other, "new")).await;
    added.unwrap();
    assert_eq!(read.unwrap(), []);
    assert!(
        start.elapsed() >= Duration::from_millis(800),
        "{:?}",
        start.elapsed()
    );
}

/// The add creates the stream.
async fn the_first_entry_of_a_missing_key_ends_a_wait(f: Fixture) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "0", 1, LONG_WAIT));
    let add = async {
        settle().await;
        f.add(&key, "first").await.unwrap()
    };
    let (read, id) = join(wait, add).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// `XGROUP CREATE … MKSTREAM` changes the key but adds no entry.
async fn creating_a_group_ends_no_wait(f: Fixture) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    let rest = async {
        f.backend
            .stream_create_group(&key, "group", "0")
            .await
            .unwrap();
        settle().await;
        f.add(&key, "new").await.unwrap()
    };
    let (read, id) = join(wait, rest).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// Reads `n` entries, each time after the last id, as a program does that follows a stream.
async fn read_all(f: &Fixture, key: &str, from: &str, count: usize, n: usize) -> Vec<String> {
    let mut read = Vec::new();
    let mut last_id = from.to_owned();
    while read.len() < n {
        let page = f
            .backend
            .stream_read(key, &last_id, count, LONG_WAIT)
            .await
            .unwrap();
        assert!(
            !page.is_empty(),
            "a wait ended empty after {} entries",
            read.len()
        );
        assert!(count == 0 || page.len() <= count, "{} entries", page.len());
        last_id.clone_from(&page[page.len() - 1].0);
        read.extend(page.into_iter().map(|(id, _)| id));
    }
    read
}

/// Each wait starts from the last id of the previous answer.
async fn a_reader_that_waits_repeatedly_receives_each_entry_once(f: Fixture) {
    let key = f.key();
    let (read, added) = join(
        read_all(&f, &key, "0", 0, 300),
        f.add_in_sequence(&key, 300),
    )
    .await;
    assert_eq!(read, added.unwrap());
}

async fn readers_with_different_counts_receive_the_same(f: Fixture) {
    let key = f.key();
    let readers = join_all([0, 1, 3, 50].map(|count| read_all(&f, &key, "0", count, 200)));
    let (read, added) = join(readers, f.add_in_sequence(&key, 200)).await;
    let added = added.unwrap();
    assert!(read.iter().all(|read| *read == added));
}

async fn a_wait_ended_by_many_entries_respects_its_count(f: Fixture) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "$", 2, LONG_WAIT));
    let adds = join_all((0..20).map(|_| f.add(&key, "new")));
    let (read, added) = join(wait, adds).await;
    let read = read.unwrap();
    assert!((1..=2).contains(&read.len()), "{} entries", read.len());
    assert_eq!(read[0].0, *added[0].as_ref().unwrap());
}

async fn an_entry_added_directly_to_redis_ends_a_wait(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "0", 1, LONG_WAIT));
    let add = async {
        settle().await;
        redis
            .send::<String>(&[b"XADD", key.as_bytes(), b"5-1", b"a", b"1"])
            .await
            .unwrap()
    };
    let (read, id) = join(wait, add).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// `XREAD BLOCK` from an id beyond the end waits for a greater one.
async fn an_entry_with_a_smaller_id_ends_no_wait(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let mut wait = started(f.backend.stream_read(&key, "100-1", 10, LONG_WAIT));
    for id in ["5-1", "100-0", "100-1"] {
        let _: String = redis
            .send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"])
            .await
            .unwrap();
    }
    assert_keeps_waiting(&mut wait, 700).await;
    let _: String = redis
        .send(&[b"XADD", key.as_bytes(), b"100-2", b"a", b"1"])
        .await
        .unwrap();
    assert_eq!(ids(&wait.await.unwrap()), ["100-2"]);
}
