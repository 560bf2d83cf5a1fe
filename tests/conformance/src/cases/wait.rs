//! `XREAD BLOCK`: a wait that an entry ends.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};

use crate::fixture::{Fixture, LONG_WAIT, DirectRedis, started, ids};

cases![
    an_entry_ends_a_wait,
    a_wait_without_a_limit_lasts_until_an_entry,
    two_waits_on_one_stream_are_both_answered,
    waits_from_different_ids_get_what_is_theirs,
    an_entry_on_another_stream_ends_no_wait,
    the_first_entry_of_a_missing_key_ends_a_wait,
    creating_a_group_ends_no_wait,
    a_reader_that_goes_on_waiting_misses_and_repeats_nothing,
    two_readers_that_go_on_waiting_get_the_same,
    a_wait_ended_by_many_entries_keeps_to_its_count,
    ;
    needs_redis:
    an_entry_that_redis_was_given_directly_ends_a_wait,
    a_wait_for_a_later_id_is_not_ended_by_an_earlier_one,
];

/// The wait returns the entry, long before its limit.
async fn an_entry_ends_a_wait(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 1).await.unwrap();
    let start = Instant::now();
    let wait = started(f.backend.stream_read(&key, &added[0], 10, LONG_WAIT));
    let add = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        f.add(&key, "new").await.unwrap()
    };
    let (read, id) = join(wait, add).await;
    assert_eq!(ids(&read.unwrap()), [&id]);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

/// BLOCK 0 waits for as long as it takes.
async fn a_wait_without_a_limit_lasts_until_an_entry(f: Fixture) {
    let key = f.key();
    let mut wait = started(f.backend.stream_read(&key, "$", 1, Some(0)));
    let early = tokio::time::timeout(Duration::from_millis(1_500), &mut wait).await;
    assert!(early.is_err(), "ended without an entry: {early:?}");
    let (read, id) = join(wait, f.add(&key, "new")).await;
    assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
}

/// A plain read takes nothing away from the others.
async fn two_waits_on_one_stream_are_both_answered(f: Fixture) {
    let key = f.key();
    let first = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    let second = started(f.backend.stream_read(&key, "0", 1, LONG_WAIT));
    let ((first, second), id) = join(join(first, second), f.add(&key, "new")).await;
    let id = id.unwrap();
    assert_eq!(ids(&first.unwrap()), [&id]);
    assert_eq!(ids(&second.unwrap()), [&id]);
}

/// Each waiter has an id of its own.
async fn waits_from_different_ids_get_what_is_theirs(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 1).await.unwrap();
    let beyond = "99999999999999-1";
    let near = started(f.backend.stream_read(&key, &added[0], 10, LONG_WAIT));
    let far = started(f.backend.stream_read(&key, beyond, 10, Some(1_000)));
    let ((near, far), id) = join(join(near, far), f.add(&key, "new")).await;
    assert_eq!(ids(&near.unwrap()), [id.unwrap()]);
    assert_eq!(far.unwrap(), []);
}

/// Nor does one on a stream whose key begins the same.
async fn an_entry_on_another_stream_ends_no_wait(f: Fixture) {
    let key = f.key();
    let other = format!("{key}:more");
    let start = Instant::now();
    let wait = started(f.backend.stream_read(&key, "0", 1, Some(800)));
    let (read, added) = join(wait, f.add(&other, "new")).await;
    added.unwrap();
    assert_eq!(read.unwrap(), []);
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
}

/// The stream comes into being under the reader.
async fn the_first_entry_of_a_missing_key_ends_a_wait(f: Fixture) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "0", 1, LONG_WAIT));
    let add = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        f.add(&key, "first").await.unwrap()
    };
    let (read, id) = join(wait, add).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// XGROUP CREATE … MKSTREAM changes the key, but adds no entry.
async fn creating_a_group_ends_no_wait(f: Fixture) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    let rest = async {
        f.backend.stream_create_group(&key, "group", "0").await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        f.add(&key, "new").await.unwrap()
    };
    let (read, id) = join(wait, rest).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// Reads as one program follows a stream: until it has everything.
async fn follow(f: &Fixture, key: &str, from: &str, count: usize, n: usize) -> Vec<String> {
    let mut read = Vec::new();
    let mut last_id = from.to_owned();
    while read.len() < n {
        let page = f.backend.stream_read(key, &last_id, count, LONG_WAIT).await.unwrap();
        assert!(!page.is_empty(), "waited in vain after {} entries", read.len());
        assert!(count == 0 || page.len() <= count, "{} entries", page.len());
        last_id.clone_from(&page[page.len() - 1].0);
        read.extend(page.into_iter().map(|(id, _)| id));
    }
    read
}

/// From each answer's last id on, while entries come.
async fn a_reader_that_goes_on_waiting_misses_and_repeats_nothing(f: Fixture) {
    let key = f.key();
    let (read, added) = join(follow(&f, &key, "0", 0, 300), f.add_in_sequence(&key, 300)).await;
    assert_eq!(read, added.unwrap());
}

/// However differently they page.
async fn two_readers_that_go_on_waiting_get_the_same(f: Fixture) {
    let key = f.key();
    let readers = join_all([0, 1, 3, 50].map(|count| follow(&f, &key, "0", count, 200)));
    let (read, added) = join(readers, f.add_in_sequence(&key, 200)).await;
    let added = added.unwrap();
    assert!(read.iter().all(|read| *read == added));
}

/// COUNT holds for an answer that was waited for, too.
async fn a_wait_ended_by_many_entries_keeps_to_its_count(f: Fixture) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "$", 2, LONG_WAIT));
    let adds = join_all((0..20).map(|_| f.add(&key, "new")));
    let (read, added) = join(wait, adds).await;
    let read = read.unwrap();
    assert!((1..=2).contains(&read.len()), "{} entries", read.len());
    assert_eq!(read[0].0, *added[0].as_ref().unwrap());
}

/// Whoever adds.
async fn an_entry_that_redis_was_given_directly_ends_a_wait(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "0", 1, LONG_WAIT));
    let add = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        redis.send::<String>(&[b"XADD", key.as_bytes(), b"5-1", b"a", b"1"]).await.unwrap()
    };
    let (read, id) = join(wait, add).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// XREAD BLOCK from an id beyond the end waits for one beyond that.
async fn a_wait_for_a_later_id_is_not_ended_by_an_earlier_one(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let mut wait = started(f.backend.stream_read(&key, "100-1", 10, LONG_WAIT));
    for id in ["5-1", "100-0", "100-1"] {
        let _: String =
            redis.send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"]).await.unwrap();
    }
    let early = tokio::time::timeout(Duration::from_millis(700), &mut wait).await;
    assert!(early.is_err(), "ended by an earlier entry: {early:?}");
    let _: String = redis.send(&[b"XADD", key.as_bytes(), b"100-2", b"a", b"1"]).await.unwrap();
    assert_eq!(ids(&wait.await.unwrap()), ["100-2"]);
}
