//! Dropping a future cancels the wait, at the server too.

use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::fixture::{Fixture, LONG_WAIT, DirectRedis, started, ids};

cases![
    a_dropped_read_harms_no_other,
    a_dropped_consumer_is_handed_nothing,
    a_consumer_dropped_right_after_asking_is_handed_nothing,
    a_dropped_consumer_leaves_its_place_to_those_behind_it,
    many_waits_dropped_at_once_harm_no_other,
    a_wait_under_a_timeout_can_be_asked_again_and_again,
    ;
    needs_redis:
    what_a_dropped_consumer_would_have_taken_is_not_pending,
];

/// The same stream, the same id: the other wait goes on.
async fn a_dropped_read_harms_no_other(f: Fixture) {
    let key = f.key();
    let dropped = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    let kept = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    drop(dropped);
    let (read, id) = join(kept, f.add(&key, "new")).await;
    assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
}

/// Lets the backend settle first: the wait is at its far end by then.
async fn a_dropped_consumer_is_handed_nothing(f: Fixture) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    let mut wait = started(f.backend.stream_read_group(&key, "group", "gone", 10, LONG_WAIT));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut wait).await;
    assert!(early.is_err(), "{early:?}");
    drop(wait);
    let id = f.add(&key, "new").await.unwrap();
    let taken = f.backend.stream_read_group(&key, "group", "next", 10, LONG_WAIT).await.unwrap();
    assert_eq!(ids(&taken), [id]);
}

/// On its way, wherever it is.
async fn a_consumer_dropped_right_after_asking_is_handed_nothing(f: Fixture) {
    for _ in 0..20 {
        let key = f.key();
        f.backend.stream_create_group(&key, "group", "$").await.unwrap();
        drop(started(f.backend.stream_read_group(&key, "group", "gone", 10, LONG_WAIT)));
        let next = started(f.backend.stream_read_group(&key, "group", "next", 10, LONG_WAIT));
        let (taken, id) = join(next, f.add(&key, "new")).await;
        assert_eq!(ids(&taken.unwrap()), [id.unwrap()]);
    }
}

/// The order of the others stays.
async fn a_dropped_consumer_leaves_its_place_to_those_behind_it(f: Fixture) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    let wait = |name| started(f.backend.stream_read_group(&key, "group", name, 1, LONG_WAIT));
    let (first, second, third) = (wait("first"), wait("second"), wait("third"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(second);
    let ((one, two), added) = join(join(first, third), f.add_in_sequence(&key, 2)).await;
    let added = added.unwrap();
    assert_eq!(ids(&one.unwrap()), [&added[0]]);
    assert_eq!(ids(&two.unwrap()), [&added[1]]);
}

/// Hundreds of waits, half of them dropped in the middle of it.
async fn many_waits_dropped_at_once_harm_no_other(f: Fixture) {
    let key = f.key();
    let waits = (0..400).map(|_| started(f.backend.stream_read(&key, "$", 1, LONG_WAIT)));
    let mut waits: Vec<_> = waits.collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut i = 0;
    waits.retain(|_| {
        i += 1;
        i % 2 == 0
    });
    assert_eq!(waits.len(), 200);
    let (read, id) = join(join_all(waits), f.add(&key, "new")).await;
    let id = id.unwrap();
    for read in read {
        assert_eq!(ids(&read.unwrap()), [&id]);
    }
}

/// As programs do that look at something else now and then.
async fn a_wait_under_a_timeout_can_be_asked_again_and_again(f: Fixture) {
    let key = f.key();
    for _ in 0..30 {
        let wait = f.backend.stream_read(&key, "0", 1, Some(0));
        let early = tokio::time::timeout(Duration::from_millis(10), wait).await;
        assert!(early.is_err(), "{early:?}");
    }
    let id = f.add(&key, "new").await.unwrap();
    let read = f.backend.stream_read(&key, "0", 1, Some(0)).await.unwrap();
    assert_eq!(ids(&read), [id]);
}

/// XPENDING names nobody.
async fn what_a_dropped_consumer_would_have_taken_is_not_pending(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    let waits = (0..20).map(|i| {
        let (f, key, name) = (f.clone(), key.clone(), format!("gone{i}"));
        started(async move {
            f.backend.stream_read_group(&key, "group", &name, 1, LONG_WAIT).await
        })
    });
    let waits: Vec<_> = waits.collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(waits);
    f.add_in_sequence(&key, 30).await.unwrap();
    // Whoever still waited would be handed entries as they come.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pending: (u64, redis::Value, redis::Value, redis::Value) =
        redis.send(&[b"XPENDING", key.as_bytes(), b"group"]).await.unwrap();
    assert_eq!(pending.0, 0);
}
