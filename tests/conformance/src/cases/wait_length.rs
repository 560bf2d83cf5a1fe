//! `BLOCK ms`: a wait on an idle stream ends empty, after about that long.

use std::time::{Duration, Instant};

use crate::fixture::{Fixture, LONG_WAIT, started};

cases![
    a_read_of_1_ms_ends_empty,
    a_read_of_700_ms_ends_empty,
    a_read_of_3_s_ends_empty,
    a_group_read_of_1_ms_ends_empty,
    a_group_read_of_700_ms_ends_empty,
    a_group_read_of_3_s_ends_empty,
    a_read_of_a_missing_key_waits,
    waits_of_different_lengths_end_by_themselves,
    a_wait_delays_no_other_operation,
    a_wait_may_be_as_long_as_javascript_counts,
];

/// A wait never ends early. How late it ends depends on the machine; one that never ends is a hang.
fn was_not_cut_short(start: Instant, ms: u64) {
    let (took, asked) = (start.elapsed(), Duration::from_millis(ms));
    assert!(took >= asked, "a wait of {asked:?} ended after {took:?}");
}

async fn read_of(f: Fixture, ms: u64) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    for id in ["$", &added[1]] {
        let start = Instant::now();
        let block = Some(usize::try_from(ms).unwrap());
        assert_eq!(f.backend.stream_read(&key, id, 10, block).await.unwrap(), []);
        was_not_cut_short(start, ms);
    }
}

async fn group_read_of(f: Fixture, ms: u64) {
    let key = f.key();
    f.add_in_sequence(&key, 2).await.unwrap();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    let start = Instant::now();
    let block = Some(usize::try_from(ms).unwrap());
    let taken = f.backend.stream_read_group(&key, "group", "consumer", 10, block).await.unwrap();
    assert_eq!(taken, []);
    was_not_cut_short(start, ms);
}

/// The shortest wait is a wait, and no error.
async fn a_read_of_1_ms_ends_empty(f: Fixture) {
    read_of(f, 1).await;
}

/// Longer than the 500 ms at which some Redis clients give up.
async fn a_read_of_700_ms_ends_empty(f: Fixture) {
    read_of(f, 700).await;
}

/// Several seconds.
async fn a_read_of_3_s_ends_empty(f: Fixture) {
    read_of(f, 3_000).await;
}

/// The shortest wait of a consumer.
async fn a_group_read_of_1_ms_ends_empty(f: Fixture) {
    group_read_of(f, 1).await;
}

/// Longer than the 500 ms at which some Redis clients give up.
async fn a_group_read_of_700_ms_ends_empty(f: Fixture) {
    group_read_of(f, 700).await;
}

/// Several seconds.
async fn a_group_read_of_3_s_ends_empty(f: Fixture) {
    group_read_of(f, 3_000).await;
}

/// A stream need not be there to be waited for.
async fn a_read_of_a_missing_key_waits(f: Fixture) {
    for id in ["0", "$", "5-5"] {
        let start = Instant::now();
        assert_eq!(f.backend.stream_read(&f.key(), id, 1, Some(300)).await.unwrap(), []);
        was_not_cut_short(start, 300);
    }
}

/// A long wait does not hold up a short one, whichever came first.
async fn waits_of_different_lengths_end_by_themselves(f: Fixture) {
    let key = f.key();
    let start = Instant::now();
    let wait = |ms: u64| {
        let (f, key) = (&f, &key);
        async move {
            let block = Some(usize::try_from(ms).unwrap());
            assert_eq!(f.backend.stream_read(key, "$", 1, block).await.unwrap(), []);
            was_not_cut_short(start, ms);
        }
    };
    futures_util::future::join_all([2_500, 100, 1_200, 400, 1].map(wait)).await;
}

/// While one read waits, every other operation of the handle is answered as fast as ever.
async fn a_wait_delays_no_other_operation(f: Fixture) {
    let (waited, key) = (f.key(), f.key());
    let mut wait = started(f.backend.stream_read(&waited, "$", 1, LONG_WAIT));
    let other_operations = async {
        let id = f.add(&key, "1").await.unwrap();
        f.read(&key, "0").await.unwrap();
        f.backend.stream_read_latest(&key, 1).await.unwrap();
        f.backend.stream_create_group(&key, "group", "0").await.unwrap();
        f.read_group_now(&key, "group", "consumer").await.unwrap();
        f.backend.stream_ack(&key, "group", &[id]).await.unwrap();
    };
    let ended = tokio::select! {
        biased;
        read = &mut wait => Some(read),
        () = other_operations => None,
    };
    assert!(ended.is_none(), "the wait ended: {ended:?}");
    let id = f.add(&waited, "new").await.unwrap();
    assert_eq!(wait.await.unwrap()[0].0, id);
}

/// 2^53 − 1 ms is a wait like any other: it lasts until an entry comes.
async fn a_wait_may_be_as_long_as_javascript_counts(f: Fixture) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    let block = Some(9_007_199_254_740_991);
    let read = started(f.backend.stream_read(&key, "$", 1, block));
    let taken = started(f.backend.stream_read_group(&key, "group", "consumer", 1, block));
    let both = futures_util::future::join(read, taken);
    let add = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        f.add(&key, "1").await.unwrap()
    };
    let ((read, taken), id) = futures_util::future::join(both, add).await;
    assert_eq!(read.unwrap()[0].0, id);
    assert_eq!(taken.unwrap()[0].0, id);
}
