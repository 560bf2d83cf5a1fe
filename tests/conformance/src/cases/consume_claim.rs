//! Consumers that take over what vanished ones hold.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use streamgate_protocol::{ConsumeOptions, Deliveries};

use super::claim::held_by_ann;
use super::consume::{consume, group, next};
use super::pending::{held, summary};
use crate::fixture::{Fixture, HANG, DirectRedis, code, parts};

cases![
    what_a_vanished_consumer_held_comes,
    it_comes_when_its_time_has_come,
    what_is_added_comes_too,
    a_batch_keeps_to_its_size,
    what_is_not_pending_for_long_enough_is_left,
    nothing_is_given_twice_however_slow_its_worker_is,
    what_an_earlier_one_of_the_same_name_held_comes,
    those_who_take_over_share,
    one_that_is_not_polled_takes_over_little,
    without_it_nothing_is_taken_over,
    a_group_that_is_missing_ends_it,
    options_that_do_not_go_together_are_refused,
    ;
    needs_redis:
    what_was_deleted_does_not_come,
];

const HOUR: u64 = 3_600_000;

/// Of the group `group`.
pub(super) fn take_over(f: &Fixture, key: &str, consumer: &str, after: u64) -> Deliveries {
    let options = ConsumeOptions::default().claim_after_ms(after);
    f.backend.consume(key, "group", consumer, options)
}

/// The ids of the next `n` entries, in order, and no more.
pub(super) async fn sorted(deliveries: &mut Deliveries, n: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < n {
        taken.extend(next(deliveries).await.into_iter().map(|(id, _)| id));
    }
    taken.sort_by_key(|id| parts(id));
    taken
}

/// Whether nothing comes for so many milliseconds.
async fn is_quiet(deliveries: &mut Deliveries, ms: u64) -> bool {
    let next = tokio::time::timeout(Duration::from_millis(ms), deliveries.next()).await;
    next.is_err()
}

/// As deliveries, and to be acknowledged.
async fn what_a_vanished_consumer_held_comes(f: Fixture) {
    let (key, added) = held_by_ann(&f, 5).await;
    let mut deliveries = take_over(&f, &key, "bob", 20);
    assert_eq!(sorted(&mut deliveries, 5).await, added);
    let held = held(&f, &key).await;
    assert!(held.iter().all(|(_, who, n)| who == "bob" && *n == 2), "{held:?}");
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(summary(&f, &key).await.count, 0);
}

/// Of a consumer that takes over already, and not only when it begins.
async fn it_comes_when_its_time_has_come(f: Fixture) {
    let key = group(&f).await;
    let mut deliveries = take_over(&f, &key, "bob", 300);
    let first = f.add_in_sequence(&key, 2).await.unwrap();
    assert_eq!(sorted(&mut deliveries, 2).await, first);
    f.backend.stream_ack(&key, "group", &first).await.unwrap();
    // It waits in line, so what is added goes to it; whoever claims vanishes with it.
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(sorted(&mut deliveries, 1).await, [&*id]);
    let start = Instant::now();
    f.backend.claim(&key, "group", "ann", 0, "0-0", 10).await.unwrap();
    assert_eq!(sorted(&mut deliveries, 1).await, [&*id]);
    // Two clocks that are read in whole milliseconds.
    let waited = start.elapsed() + Duration::from_millis(2);
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
    assert_eq!(held(&f, &key).await, [(id, "bob".to_owned(), 3)]);
}

/// Before, between and after.
async fn what_is_added_comes_too(f: Fixture) {
    let (key, mut all) = held_by_ann(&f, 50).await;
    all.extend(f.add_in_sequence(&key, 50).await.unwrap());
    let mut deliveries = take_over(&f, &key, "bob", 20);
    assert_eq!(sorted(&mut deliveries, 100).await, all);
    for _ in 0..5 {
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(sorted(&mut deliveries, 1).await, [id]);
    }
}

/// Of what is taken over too.
async fn a_batch_keeps_to_its_size(f: Fixture) {
    let (key, added) = held_by_ann(&f, 250).await;
    let options =
        ConsumeOptions::default().batch(7).claim_after_ms(20);
    let mut deliveries = f.backend.consume(&key, "group", "bob", options);
    let mut taken = Vec::new();
    while taken.len() < added.len() {
        let batch = next(&mut deliveries).await;
        assert!(batch.len() <= 7, "{}", batch.len());
        taken.extend(batch.into_iter().map(|(id, _)| id));
    }
    taken.sort_by_key(|id| parts(id));
    assert_eq!(taken, added);
}

/// While new ones come.
async fn what_is_not_pending_for_long_enough_is_left(f: Fixture) {
    let (key, _) = held_by_ann(&f, 3).await;
    let mut deliveries = take_over(&f, &key, "bob", HOUR);
    assert!(is_quiet(&mut deliveries, 400).await);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(sorted(&mut deliveries, 1).await, [id]);
    let consumers = summary(&f, &key).await.consumers;
    assert_eq!(consumers, [("ann".to_owned(), 3), ("bob".to_owned(), 1)]);
}

/// Neither what it was given nor what it took over.
async fn nothing_is_given_twice_however_slow_its_worker_is(f: Fixture) {
    let (key, mut all) = held_by_ann(&f, 5).await;
    all.extend(f.add_in_sequence(&key, 5).await.unwrap());
    let mut deliveries = take_over(&f, &key, "bob", 20);
    assert_eq!(sorted(&mut deliveries, 10).await, all);
    // Many rounds, each of which finds all ten idle for longer.
    assert!(is_quiet(&mut deliveries, 1_000).await);
    let held = held(&f, &key).await;
    let deliveries: Vec<_> = held.iter().map(|(_, _, n)| *n).collect();
    assert_eq!(deliveries, [2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
}

/// As of a page that was loaded again.
async fn what_an_earlier_one_of_the_same_name_held_comes(f: Fixture) {
    let key = group(&f).await;
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut before = consume(&f, &key, "bob", 64);
    assert_eq!(sorted(&mut before, 3).await, added);
    drop(before);
    // What is of the same millisecond as its beginning passes for its own.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut deliveries = take_over(&f, &key, "bob", 300);
    assert_eq!(sorted(&mut deliveries, 3).await, added);
    assert!(is_quiet(&mut deliveries, 800).await, "it took over from itself");
}

/// Each entry goes to one of them.
async fn those_who_take_over_share(f: Fixture) {
    const N: usize = 300;
    const CLAIM_AFTER: Duration = Duration::from_secs(2);
    let (key, added) = held_by_ann(&f, N).await;
    let start = Instant::now();
    let takers = (0..3).map(|i| take_over(&f, &key, &format!("taker{i}"), 2_000));
    let mut all = futures_util::stream::select_all(takers);
    let mut taken = BTreeSet::new();
    let mut deliveries = 0;
    while taken.len() < N {
        let batch = tokio::time::timeout(HANG, all.next()).await;
        let batch = batch.unwrap().unwrap().unwrap();
        let ids: Vec<_> = batch.into_iter().map(|(id, _)| id).collect();
        f.backend.stream_ack(&key, "group", &ids).await.unwrap();
        deliveries += ids.len();
        taken.extend(ids);
    }
    assert!(taken.into_iter().eq(added.into_iter().collect::<BTreeSet<_>>()));
    // On a slow machine one taker may wait so long that another takes over from it.
    assert!(deliveries == N || start.elapsed() > CLAIM_AFTER, "{deliveries} deliveries");
    assert_eq!(summary(&f, &key).await.count, 0);
}

/// The rest is left to others.
async fn one_that_is_not_polled_takes_over_little(f: Fixture) {
    let (key, _) = held_by_ann(&f, 500).await;
    let options =
        ConsumeOptions::default().batch(5).claim_after_ms(20);
    let mut slow = f.backend.consume(&key, "group", "slow", options);
    next(&mut slow).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = held(&f, &key).await;
    let slow = held.iter().filter(|(_, who, _)| who == "slow").count();
    assert!(slow <= 20, "it holds {slow}");
}

/// It stays where it is.
async fn without_it_nothing_is_taken_over(f: Fixture) {
    let (key, _) = held_by_ann(&f, 3).await;
    let mut deliveries = consume(&f, &key, "bob", 64);
    assert!(is_quiet(&mut deliveries, 400).await);
    assert_eq!(summary(&f, &key).await.consumers, [("ann".to_owned(), 3)]);
}

/// `NOGROUP`.
async fn a_group_that_is_missing_ends_it(f: Fixture) {
    let key = group(&f).await;
    for (key, group) in [(&*key, "other"), (&*f.key(), "group")] {
        let options = ConsumeOptions::default().claim_after_ms(20);
        let mut deliveries = f.backend.consume(key, group, "bob", options);
        assert_eq!(code(&deliveries.next().await.unwrap()), "NOGROUP");
        assert!(deliveries.next().await.is_none());
    }
}

/// Before anything is given.
async fn options_that_do_not_go_together_are_refused(f: Fixture) {
    let key = group(&f).await;
    f.add_in_sequence(&key, 1).await.unwrap();
    let other = f.key();
    for (claim_after_ms, max_deliveries, dead_letter) in [
        (Some(0), None, None),
        (Some(20), Some(0), Some(&other)),
        (Some(20), Some(1), None),
        (Some(20), None, Some(&other)),
        (None, Some(1), Some(&other)),
        (None, Some(1), None),
        (None, None, Some(&other)),
        (Some(20), Some(1), Some(&key)),
    ] {
        let mut options = ConsumeOptions::default();
        options.claim_after_ms = claim_after_ms;
        options.max_deliveries = max_deliveries;
        options.dead_letter = dead_letter.cloned();
        let mut deliveries = f.backend.consume(&key, "group", "bob", options.clone());
        assert_eq!(code(&deliveries.next().await.unwrap()), "ERR", "{options:?}");
        assert!(deliveries.next().await.is_none());
    }
    let mut deliveries = take_over(&f, &key, "bob", 1);
    assert_eq!(next(&mut deliveries).await.len(), 1);
    assert!(deliveries.next().now_or_never().is_none());
}

/// And is not pending any more.
async fn what_was_deleted_does_not_come(f: Fixture, redis: DirectRedis) {
    let (key, added) = held_by_ann(&f, 4).await;
    for id in &added[1..3] {
        let _: u64 = redis.send(&[b"XDEL", key.as_bytes(), id.as_bytes()]).await.unwrap();
    }
    let mut deliveries = take_over(&f, &key, "bob", 20);
    assert_eq!(sorted(&mut deliveries, 2).await, [&*added[0], &*added[3]]);
    assert_eq!(summary(&f, &key).await.consumers, [("bob".to_owned(), 2)]);
}
