//! Consumers that are given a group's entries as they come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use streamgate_protocol::{ConsumeOptions, Deliveries, StreamEntry};

use crate::fixture::{Fixture, HANG, LONG_WAIT, DirectRedis, ids, parts};

cases![
    what_is_there_comes_first_and_then_what_is_added,
    entries_come_as_they_are_added,
    a_batch_keeps_to_its_size,
    each_entry_goes_to_one_consumer,
    waiting_consumers_are_served_in_the_order_they_came,
    a_consumer_stands_in_line_with_group_reads,
    groups_are_given_the_same,
    a_consumer_that_is_not_polled_leaves_the_rest_to_others,
    what_was_given_is_not_given_again,
    ;
    needs_redis:
    what_was_given_is_pending_until_it_is_acknowledged,
    entries_that_redis_was_given_directly_come,
];

/// A stream with a group that starts with its oldest entry.
pub(super) async fn group(f: &Fixture) -> String {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    key
}

pub(super) fn consume(f: &Fixture, key: &str, consumer: &str, batch: usize) -> Deliveries {
    let options = ConsumeOptions::default().batch(batch);
    f.backend.consume(key, "group", consumer, options)
}

/// Asks now: polls once, before anything is there.
pub(super) fn started(f: &Fixture, key: &str, consumer: &str, batch: usize) -> Deliveries {
    let mut deliveries = consume(f, key, consumer, batch);
    let early = futures_util::FutureExt::now_or_never(deliveries.next());
    assert!(early.is_none(), "it did not wait: {early:?}");
    deliveries
}

/// The next batch, which is never empty.
pub(super) async fn next(deliveries: &mut Deliveries) -> Vec<StreamEntry> {
    let batch = tokio::time::timeout(HANG, deliveries.next()).await;
    let batch = batch.unwrap().unwrap().unwrap();
    assert!(!batch.is_empty(), "a batch without entries");
    batch
}

/// The ids of the next `n` entries.
async fn take(deliveries: &mut Deliveries, n: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < n {
        taken.extend(next(deliveries).await.into_iter().map(|(id, _)| id));
    }
    taken
}

/// In one go.
async fn what_is_there_comes_first_and_then_what_is_added(f: Fixture) {
    let key = group(&f).await;
    let added = f.add_in_sequence(&key, 5).await.unwrap();
    let mut deliveries = consume(&f, &key, "consumer", 64);
    assert_eq!(take(&mut deliveries, 5).await, added);
    for _ in 0..20 {
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(take(&mut deliveries, 1).await, [id]);
    }
}

/// Long before any limit, for it has none.
async fn entries_come_as_they_are_added(f: Fixture) {
    let key = group(&f).await;
    let mut deliveries = started(&f, &key, "consumer", 10);
    let early = tokio::time::timeout(Duration::from_millis(1_500), deliveries.next()).await;
    assert!(early.is_err(), "without an entry: {early:?}");
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(take(&mut deliveries, 1).await, [id]);
}

/// At most so many; of any size there are all in the end.
async fn a_batch_keeps_to_its_size(f: Fixture) {
    for batch in [1, 3, 64, 1_000] {
        let key = group(&f).await;
        let added = f.add_in_sequence(&key, 100).await.unwrap();
        let mut deliveries = consume(&f, &key, "consumer", batch);
        let mut taken = Vec::new();
        while taken.len() < 100 {
            let entries = next(&mut deliveries).await;
            assert!(entries.len() <= batch, "{} of at most {batch}", entries.len());
            taken.extend(entries.into_iter().map(|(id, _)| id));
        }
        assert_eq!(taken, added);
    }
}

/// All together they have everything, each in order.
async fn each_entry_goes_to_one_consumer(f: Fixture) {
    const N: usize = 1_000;
    let key = group(&f).await;
    let (f, key, count) = (&f, &key, &AtomicUsize::new(0));
    let consumers = join_all((0..8).map(|i| async move {
        let mut deliveries = consume(f, key, &format!("consumer{i}"), 1 + i * 5);
        let mut taken = Vec::new();
        while count.load(Ordering::Relaxed) < N {
            // Others may take the last ones.
            let wait = tokio::time::timeout(Duration::from_millis(100), deliveries.next());
            let Ok(batch) = wait.await else { continue };
            let batch = batch.unwrap().unwrap();
            count.fetch_add(batch.len(), Ordering::Relaxed);
            let these: Vec<_> = batch.into_iter().map(|(id, _)| id).collect();
            f.backend.stream_ack(key, "group", &these).await.unwrap();
            taken.extend(these);
        }
        taken
    }));
    let (taken, added) = join(consumers, f.add_concurrently(key, N)).await;
    assert!(taken.iter().all(|taken| taken.is_sorted_by_key(|id| parts(id))));
    let mut all = taken.concat();
    all.sort_by_key(|id| parts(id));
    assert_eq!(all, added.unwrap());
}

/// First come, first served: the i-th entry goes to the i-th consumer.
async fn waiting_consumers_are_served_in_the_order_they_came(f: Fixture) {
    let key = group(&f).await;
    let consumers = (0..8).map(|i| started(&f, &key, &format!("consumer{i}"), 1));
    let mut consumers: Vec<_> = consumers.collect();
    let added = f.add_in_sequence(&key, 8).await.unwrap();
    let taken = join_all(consumers.iter_mut().map(next)).await;
    assert_eq!(taken.iter().flat_map(|taken| ids(taken)).collect::<Vec<_>>(), added);
}

/// One line for all of a group.
async fn a_consumer_stands_in_line_with_group_reads(f: Fixture) {
    let key = group(&f).await;
    let read = |name| f.backend.stream_read_group(&key, "group", name, 1, LONG_WAIT);
    let first = crate::fixture::started(read("first"));
    let mut second = started(&f, &key, "second", 1);
    let third = crate::fixture::started(read("third"));
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(ids(&first.await.unwrap()), [&added[0]]);
    assert_eq!(take(&mut second, 1).await, [&*added[1]]);
    assert_eq!(ids(&third.await.unwrap()), [&added[2]]);
}

/// Each group has all of it.
async fn groups_are_given_the_same(f: Fixture) {
    let key = group(&f).await;
    f.backend.stream_create_group(&key, "other", "0").await.unwrap();
    let mut one = started(&f, &key, "consumer", 10);
    let mut two = f.backend.consume(&key, "other", "consumer", ConsumeOptions::default());
    let added = f.add_in_sequence(&key, 50).await.unwrap();
    assert_eq!(take(&mut one, 50).await, added);
    assert_eq!(take(&mut two, 50).await, added);
}

/// It holds a bounded number.
async fn a_consumer_that_is_not_polled_leaves_the_rest_to_others(f: Fixture) {
    const N: usize = 1_000;
    let key = group(&f).await;
    let added = f.add_concurrently(&key, N).await.unwrap();
    let mut slow = consume(&f, &key, "slow", 5);
    let mut all = take(&mut slow, 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut quick = consume(&f, &key, "quick", 50);
    let mut theirs = Vec::new();
    while theirs.last() != added.last() {
        theirs.extend(take(&mut quick, 1).await);
    }
    assert!(theirs.len() > N / 2, "the slow one holds {}", N - theirs.len());
    let held = N - theirs.len() - all.len();
    all.extend(take(&mut slow, held).await);
    all.extend(theirs);
    assert_eq!(all, added);
}

/// To nobody, acknowledged or not.
async fn what_was_given_is_not_given_again(f: Fixture) {
    let key = group(&f).await;
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    let mut deliveries = consume(&f, &key, "consumer", 64);
    assert_eq!(take(&mut deliveries, 10).await, added);
    f.backend.stream_ack(&key, "group", &added[..5]).await.unwrap();
    drop(deliveries);
    assert_eq!(f.read_group_now(&key, "group", "other").await.unwrap(), []);
    let mut again = started(&f, &key, "consumer", 64);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(take(&mut again, 1).await, [id]);
}

/// How many entries are pending in the group.
pub(super) async fn pending(redis: &DirectRedis, key: &str) -> u64 {
    let pending: (u64, redis::Value, redis::Value, redis::Value) =
        redis.send(&[b"XPENDING", key.as_bytes(), b"group"]).await.unwrap();
    pending.0
}

/// One by one, and together.
async fn what_was_given_is_pending_until_it_is_acknowledged(f: Fixture, redis: DirectRedis) {
    let key = group(&f).await;
    let mut deliveries = started(&f, &key, "consumer", 4);
    let added = f.add_in_sequence(&key, 20).await.unwrap();
    let taken = take(&mut deliveries, 20).await;
    assert_eq!(taken, added);
    assert_eq!(pending(&redis, &key).await, 20);
    for id in &taken[..5] {
        f.backend.stream_ack(&key, "group", std::slice::from_ref(id)).await.unwrap();
    }
    assert_eq!(pending(&redis, &key).await, 15);
    f.backend.stream_ack(&key, "group", &taken[5..]).await.unwrap();
    assert_eq!(pending(&redis, &key).await, 0);
}

/// Whoever adds, one by one or many at the same moment.
async fn entries_that_redis_was_given_directly_come(f: Fixture, redis: DirectRedis) {
    let key = group(&f).await;
    let mut deliveries = started(&f, &key, "consumer", 10);
    let _: String = redis.send(&[b"XADD", key.as_bytes(), b"5-1", b"a", b"1"]).await.unwrap();
    assert_eq!(take(&mut deliveries, 1).await, ["5-1"]);
    let script = b"for i = 1, 50 do redis.call('XADD', KEYS[1], '9-' .. i, 'a', '1') end";
    let _: () = redis.send(&[b"EVAL", script, b"1", key.as_bytes()]).await.unwrap();
    let expected: Vec<_> = (1..=50).map(|i| format!("9-{i}")).collect();
    assert_eq!(take(&mut deliveries, 50).await, expected);
}
