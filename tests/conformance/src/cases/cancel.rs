//! Dropping a future cancels its wait, at the server too.

use futures_util::future::{join, join_all};

use crate::fixture::{DirectRedis, Fixture, LONG_WAIT, assert_keeps_waiting, ids, settle, started};

cases![
    dropping_a_read_does_not_affect_other_reads,
    a_dropped_group_read_receives_nothing,
    a_group_read_dropped_at_once_receives_nothing,
    dropping_a_group_read_keeps_the_order_of_the_others,
    dropping_many_reads_does_not_affect_the_others,
    a_read_can_be_timed_out_and_repeated,
    ;
    needs_redis:
    dropped_group_reads_leave_nothing_pending,
];

/// Here both wait on the same stream from the same id.
async fn dropping_a_read_does_not_affect_other_reads(f: Fixture) {
    let key = f.key();
    let dropped = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    let kept = started(f.backend.stream_read(&key, "$", 1, LONG_WAIT));
    drop(dropped);
    let (read, id) = join(kept, f.add(&key, "new")).await;
    assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
}

/// The wait has reached the backend before it is dropped.
async fn a_dropped_group_read_receives_nothing(f: Fixture) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    let mut wait = started(
        f.backend
            .stream_read_group(&key, "group", "dropped", 10, LONG_WAIT),
    );
    assert_keeps_waiting(&mut wait, 300).await;
    drop(wait);
    let id = f.add(&key, "new").await.unwrap();
    let delivered = f
        .backend
        .stream_read_group(&key, "group", "next", 10, LONG_WAIT)
        .await
        .unwrap();
    assert_eq!(ids(&delivered), [id]);
}

/// The request may still be on its way to the backend.
async fn a_group_read_dropped_at_once_receives_nothing(f: Fixture) {
    for _ in 0..20 {
        let key = f.key();
        f.backend
            .stream_create_group(&key, "group", "$")
            .await
            .unwrap();
        drop(started(
            f.backend
                .stream_read_group(&key, "group", "dropped", 10, LONG_WAIT),
        ));
        let next = started(
            f.backend
                .stream_read_group(&key, "group", "next", 10, LONG_WAIT),
        );
        let (delivered, id) = join(next, f.add(&key, "new")).await;
        assert_eq!(ids(&delivered.unwrap()), [id.unwrap()]);
    }
}

async fn dropping_a_group_read_keeps_the_order_of_the_others(f: Fixture) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    let wait = |name| {
        started(
            f.backend
                .stream_read_group(&key, "group", name, 1, LONG_WAIT),
        )
    };
    let (first, second, third) = (wait("first"), wait("second"), wait("third"));
    settle().await;
    drop(second);
    let ((one, two), added) = join(join(first, third), f.add_in_sequence(&key, 2)).await;
    let added = added.unwrap();
    assert_eq!(ids(&one.unwrap()), [&added[0]]);
    assert_eq!(ids(&two.unwrap()), [&added[1]]);
}

/// Hundreds of reads wait, and every second one is dropped.
async fn dropping_many_reads_does_not_affect_the_others(f: Fixture) {
    let key = f.key();
    let waits = (0..400).map(|_| started(f.backend.stream_read(&key, "$", 1, LONG_WAIT)));
    let mut waits: Vec<_> = waits.collect();
    settle().await;
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

/// As programs do that check something else now and then.
async fn a_read_can_be_timed_out_and_repeated(f: Fixture) {
    let key = f.key();
    for _ in 0..30 {
        let wait = f.backend.stream_read(&key, "0", 1, Some(0));
        assert_keeps_waiting(wait, 10).await;
    }
    let id = f.add(&key, "new").await.unwrap();
    let read = f.backend.stream_read(&key, "0", 1, Some(0)).await.unwrap();
    assert_eq!(ids(&read), [id]);
}

/// `XPENDING` counts 0.
async fn dropped_group_reads_leave_nothing_pending(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    let waits = (0..20).map(|i| {
        let (f, key, name) = (f.clone(), key.clone(), format!("dropped{i}"));
        started(async move {
            f.backend
                .stream_read_group(&key, "group", &name, 1, LONG_WAIT)
                .await
        })
    });
    let waits: Vec<_> = waits.collect();
    settle().await;
    drop(waits);
    f.add_in_sequence(&key, 30).await.unwrap();
    // A wait that was not cancelled would receive entries meanwhile.
    settle().await;
    let pending: (u64, redis::Value, redis::Value, redis::Value) = redis
        .send(&[b"XPENDING", key.as_bytes(), b"group"])
        .await
        .unwrap();
    assert_eq!(pending.0, 0);
}
