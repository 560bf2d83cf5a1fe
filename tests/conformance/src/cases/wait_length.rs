//! `BLOCK ms`: a wait on an idle stream ends empty, not before its limit.

use std::time::{Duration, Instant};

use crate::fixture::{Fixture, LONG_WAIT, settle, started};

cases![
    a_read_of_1_ms_ends_empty,
    a_read_of_700_ms_ends_empty,
    a_read_of_3_s_ends_empty,
    a_group_read_of_1_ms_ends_empty,
    a_group_read_of_700_ms_ends_empty,
    a_group_read_of_3_s_ends_empty,
    a_read_of_a_missing_key_waits,
    waits_of_different_lengths_do_not_delay_each_other,
    a_wait_does_not_delay_other_operations,
    a_wait_may_be_the_greatest_safe_integer,
];

/// Checks that a wait did not end early. How late it ends depends on the machine.
fn assert_waited(start: Instant, ms: u64) {
    let (waited, limit) = (start.elapsed(), Duration::from_millis(ms));
    assert!(
        waited >= limit,
        "a wait of {limit:?} ended after {waited:?}"
    );
}

async fn assert_read_ends_empty(f: Fixture, ms: u64) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    for id in ["$", &added[1]] {
        let start = Instant::now();
        let block = Some(usize::try_from(ms).unwrap());
        assert_eq!(
            f.backend.stream_read(&key, id, 10, block).await.unwrap(),
            []
        );
        assert_waited(start, ms);
    }
}

async fn assert_group_read_ends_empty(f: Fixture, ms: u64) {
    let key = f.key();
    f.add_in_sequence(&key, 2).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    let start = Instant::now();
    let block = Some(usize::try_from(ms).unwrap());
    let delivered = f
        .backend
        .stream_read_group(&key, "group", "consumer", 10, block)
        .await
        .unwrap();
    assert_eq!(delivered, []);
    assert_waited(start, ms);
}

/// The shortest wait is not an error.
async fn a_read_of_1_ms_ends_empty(f: Fixture) {
    assert_read_ends_empty(f, 1).await;
}

/// Longer than the 500 ms after which some Redis clients time out.
async fn a_read_of_700_ms_ends_empty(f: Fixture) {
    assert_read_ends_empty(f, 700).await;
}

async fn a_read_of_3_s_ends_empty(f: Fixture) {
    assert_read_ends_empty(f, 3_000).await;
}

/// The shortest wait is not an error.
async fn a_group_read_of_1_ms_ends_empty(f: Fixture) {
    assert_group_read_ends_empty(f, 1).await;
}

/// Longer than the 500 ms after which some Redis clients time out.
async fn a_group_read_of_700_ms_ends_empty(f: Fixture) {
    assert_group_read_ends_empty(f, 700).await;
}

async fn a_group_read_of_3_s_ends_empty(f: Fixture) {
    assert_group_read_ends_empty(f, 3_000).await;
}

/// From any id.
async fn a_read_of_a_missing_key_waits(f: Fixture) {
    for id in ["0", "$", "5-5"] {
        let start = Instant::now();
        assert_eq!(
            f.backend
                .stream_read(&f.key(), id, 1, Some(300))
                .await
                .unwrap(),
            []
        );
        assert_waited(start, 300);
    }
}

/// Whichever started first.
async fn waits_of_different_lengths_do_not_delay_each_other(f: Fixture) {
    let key = f.key();
    let start = Instant::now();
    let wait = |ms: u64| {
        let (f, key) = (&f, &key);
        async move {
            let block = Some(usize::try_from(ms).unwrap());
            assert_eq!(f.backend.stream_read(key, "$", 1, block).await.unwrap(), []);
            assert_waited(start, ms);
        }
    };
    futures_util::future::join_all([2_500, 100, 1_200, 400, 1].map(wait)).await;
}

/// All operations of the handle complete while one read waits.
async fn a_wait_does_not_delay_other_operations(f: Fixture) {
    let (waited, key) = (f.key(), f.key());
    let mut wait = started(f.backend.stream_read(&waited, "$", 1, LONG_WAIT));
    let other_operations = async {
        let id = f.add(&key, "1").await.unwrap();
        f.read(&key, "0").await.unwrap();
        f.backend.stream_read_latest(&key, 1).await.unwrap();
        f.backend
            .stream_create_group(&key, "group", "0")
            .await
            .unwrap();
        f.read_group_now(&key, "group", "consumer").await.unwrap();
        f.backend.stream_ack(&key, "group", &[id]).await.unwrap();
    };
    let ended = tokio::select! {
        biased;
        read = &mut wait => Some(read),
        () = other_operations => None,
    };
    assert!(ended.is_none(), "the wait completed: {ended:?}");
    let id = f.add(&waited, "new").await.unwrap();
    assert_eq!(wait.await.unwrap()[0].0, id);
}

/// 2^53 − 1 ms. Such a wait lasts until an entry is added.
async fn a_wait_may_be_the_greatest_safe_integer(f: Fixture) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    let block = Some(9_007_199_254_740_991);
    let read = started(f.backend.stream_read(&key, "$", 1, block));
    let delivered = started(
        f.backend
            .stream_read_group(&key, "group", "consumer", 1, block),
    );
    let both = futures_util::future::join(read, delivered);
    let add = async {
        settle().await;
        f.add(&key, "1").await.unwrap()
    };
    let ((read, delivered), id) = futures_util::future::join(both, add).await;
    assert_eq!(read.unwrap()[0].0, id);
    assert_eq!(delivered.unwrap()[0].0, id);
}
