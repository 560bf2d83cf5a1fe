//! `XREAD BLOCK … STREAMS key $`: `$` is the last id at the time of asking.

use std::time::Duration;

use futures_util::future::{join, join3, join_all};

use crate::fixture::{Fixture, LONG_WAIT, DirectRedis, started, ids};

cases![
    what_is_there_already_is_not_given,
    an_add_asked_right_behind_it_is_not_missed,
    an_add_asked_right_behind_it_on_a_missing_key_is_not_missed,
    an_add_asked_right_before_it_is_not_given,
    the_first_of_many_adds_asked_right_behind_it_is_not_missed,
    each_asks_for_a_now_of_its_own,
    now_is_not_asked_again_when_nothing_came,
    ;
    needs_redis:
    a_stream_whose_last_entries_were_deleted_has_the_same_now,
];

/// Only what is new.
async fn what_is_there_already_is_not_given(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 5).await.unwrap();
    let wait = started(f.backend.stream_read(&key, "$", 10, LONG_WAIT));
    let add = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        f.add(&key, "new").await.unwrap()
    };
    let (read, id) = join(wait, add).await;
    assert_eq!(ids(&read.unwrap()), [id]);
}

/// The read is asked first, so the add comes after its `$`: again and again, since this is a race
/// that would be lost now and then.
async fn an_add_asked_right_behind_it_is_not_missed(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    for _ in 0..50 {
        let (read, id) =
            join(f.backend.stream_read(&key, "$", 1, LONG_WAIT), f.add(&key, "new")).await;
        assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
    }
}

/// On a missing key `$` is 0-0.
async fn an_add_asked_right_behind_it_on_a_missing_key_is_not_missed(f: Fixture) {
    for _ in 0..50 {
        let key = f.key();
        let (read, id) =
            join(f.backend.stream_read(&key, "$", 1, LONG_WAIT), f.add(&key, "new")).await;
        assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
    }
}

/// The add is asked first, so it is before `$`.
async fn an_add_asked_right_before_it_is_not_given(f: Fixture) {
    let key = f.key();
    for _ in 0..20 {
        let (id, read) =
            join(f.add(&key, "old"), f.backend.stream_read(&key, "$", 1, Some(50))).await;
        id.unwrap();
        assert_eq!(read.unwrap(), []);
    }
}

/// Not the second instead of the first.
async fn the_first_of_many_adds_asked_right_behind_it_is_not_missed(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    for _ in 0..10 {
        let adds = join_all((0..20).map(|_| f.add(&key, "new")));
        let (read, added) =
            join(f.backend.stream_read(&key, "$", 1, LONG_WAIT), adds).await;
        assert_eq!(ids(&read.unwrap()), [added[0].as_ref().unwrap()]);
    }
}

/// Asked before an add and after it: two different ids.
async fn each_asks_for_a_now_of_its_own(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    let read = || f.backend.stream_read(&key, "$", 1, LONG_WAIT);
    let second = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        f.add(&key, "second").await
    };
    let (before, first, (after, second)) =
        join3(read(), f.add(&key, "first"), join(read(), second)).await;
    assert_eq!(ids(&before.unwrap()), [first.unwrap()]);
    assert_eq!(ids(&after.unwrap()), [second.unwrap()]);
}

/// A wait that something else wakes keeps its id. Groups change the key and add nothing.
async fn now_is_not_asked_again_when_nothing_came(f: Fixture) {
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

/// `$` is the stream's last id, not its last entry's.
async fn a_stream_whose_last_entries_were_deleted_has_the_same_now(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    for id in ["5-1", "5-2"] {
        let _: String =
            redis.send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"]).await.unwrap();
    }
    let deleted: u64 = redis.send(&[b"XDEL", key.as_bytes(), b"5-1", b"5-2"]).await.unwrap();
    assert_eq!(deleted, 2);
    let wait = started(f.backend.stream_read(&key, "$", 10, LONG_WAIT));
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(ids(&wait.await.unwrap()), [id]);
}
