//! `XREAD BLOCK … STREAMS key $`: `$` is the last id at the moment of the read.

use futures_util::future::{join, join_all, join3};

use crate::fixture::{DirectRedis, Fixture, LONG_WAIT, ids, settle, started};

cases![
    existing_entries_are_not_returned,
    an_add_sent_right_after_the_read_is_returned,
    an_add_sent_right_after_the_read_creates_the_stream_and_is_returned,
    an_add_sent_right_before_the_read_is_not_returned,
    the_first_of_many_adds_sent_right_after_the_read_is_returned,
    each_read_resolves_dollar_for_itself,
    dollar_is_resolved_once_per_read,
    ;
    needs_redis:
    dollar_is_the_last_id_even_if_that_entry_was_deleted,
];

async fn existing_entries_are_not_returned(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 5).await.unwrap();
    let wait = started(f.backend.stream_read(&key, "$", 10, LONG_WAIT));
    let add = async {
        settle().await;
        f.add(&key, "new").await.unwrap()
    };
    let (read, id) = join(wait, add).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// The read is sent first, so `$` is resolved before the add. Repeated, because a backend may lose
/// this race only sometimes.
async fn an_add_sent_right_after_the_read_is_returned(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    for _ in 0..50 {
        let (read, id) = join(
            f.backend.stream_read(&key, "$", 1, LONG_WAIT),
            f.add(&key, "new"),
        )
        .await;
        assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
    }
}

/// On a missing key `$` is `0-0`.
async fn an_add_sent_right_after_the_read_creates_the_stream_and_is_returned(f: Fixture) {
    for _ in 0..50 {
        let key = f.key();
        let (read, id) = join(
            f.backend.stream_read(&key, "$", 1, LONG_WAIT),
            f.add(&key, "new"),
        )
        .await;
        assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
    }
}

/// The add is sent first, so `$` is resolved after it.
async fn an_add_sent_right_before_the_read_is_not_returned(f: Fixture) {
    let key = f.key();
    for _ in 0..20 {
        let (id, read) = join(
            f.add(&key, "old"),
            f.backend.stream_read(&key, "$", 1, Some(50)),
        )
        .await;
        id.unwrap();
        assert_eq!(read.unwrap(), []);
    }
}

/// Not a later one instead.
async fn the_first_of_many_adds_sent_right_after_the_read_is_returned(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    for _ in 0..10 {
        let adds = join_all((0..20).map(|_| f.add(&key, "new")));
        let (read, added) = join(f.backend.stream_read(&key, "$", 1, LONG_WAIT), adds).await;
        assert_eq!(ids(&read.unwrap()), [added[0].as_ref().unwrap()]);
    }
}

/// A read before an add and one after it have different ids.
async fn each_read_resolves_dollar_for_itself(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    let read = || f.backend.stream_read(&key, "$", 1, LONG_WAIT);
    let second = async {
        settle().await;
        f.add(&key, "second").await
    };
    let (before, first, (after, second)) =
        join3(read(), f.add(&key, "first"), join(read(), second)).await;
    assert_eq!(ids(&before.unwrap()), [first.unwrap()]);
    assert_eq!(ids(&after.unwrap()), [second.unwrap()]);
}

/// A spurious wake-up keeps the id: creating a group changes the key but adds no entry.
async fn dollar_is_resolved_once_per_read(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    for i in 0..20 {
        let group = format!("group{i}");
        let (read, created, id) = join3(
            f.backend.stream_read(&key, "$", 1, LONG_WAIT),
            f.backend.stream_create_group(&key, &group, "0"),
            f.add(&key, "new"),
        )
        .await;
        created.unwrap();
        assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
    }
}

async fn dollar_is_the_last_id_even_if_that_entry_was_deleted(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    for id in ["5-1", "5-2"] {
        let _: String = redis
            .send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"])
            .await
            .unwrap();
    }
    let deleted: u64 = redis
        .send(&[b"XDEL", key.as_bytes(), b"5-1", b"5-2"])
        .await
        .unwrap();
    assert_eq!(deleted, 2);
    let wait = started(f.backend.stream_read(&key, "$", 10, LONG_WAIT));
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(ids(&wait.await.unwrap()), [id]);
}
