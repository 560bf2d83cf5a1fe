//! Consumers: a stream of the entries that the group delivers to one consumer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use streamgate_protocol::{ConsumeOptions, Deliveries, StreamEntry};

use crate::fixture::{
    DirectRedis, Fixture, HANG, LONG_WAIT, as_text, assert_keeps_waiting, ids, parts,
};

cases![
    existing_entries_come_first_and_then_new_ones,
    a_consumer_waits_until_an_entry_is_added,
    batches_do_not_exceed_the_batch_size,
    each_entry_is_delivered_to_one_consumer,
    waiting_consumers_are_served_in_order,
    consumers_and_group_reads_share_one_queue,
    each_group_receives_all_entries,
    a_consumer_that_is_not_polled_holds_a_bounded_number,
    delivered_entries_are_not_redelivered,
    ;
    needs_redis:
    delivered_entries_are_pending_until_acknowledged,
    entries_added_directly_to_redis_are_delivered,
];

/// Creates a stream with a group, `group`, that starts with the first entry.
pub(super) async fn stream_with_group(f: &Fixture) -> String {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    key
}

/// Consumes from `group`. The consumer starts with its first poll.
pub(super) fn consume(f: &Fixture, key: &str, consumer: &str, batch: usize) -> Deliveries {
    let options = ConsumeOptions::default().batch(batch);
    f.backend.consume(key, "group", consumer, options)
}

/// Polls a consumer once, so that it waits before the next line.
pub(super) fn waiting_consumer(f: &Fixture, key: &str, consumer: &str, batch: usize) -> Deliveries {
    let mut deliveries = consume(f, key, consumer, batch);
    let early = futures_util::FutureExt::now_or_never(deliveries.next());
    assert!(early.is_none(), "the consumer did not wait: {early:?}");
    deliveries
}

/// The next batch, which is never empty.
pub(super) async fn next_batch(deliveries: &mut Deliveries) -> Vec<StreamEntry> {
    let batch = tokio::time::timeout(HANG, deliveries.next()).await;
    let batch = batch.unwrap().unwrap().unwrap();
    assert!(!batch.is_empty(), "a batch without entries");
    as_text(batch)
}

/// The ids of the next `n` entries.
async fn next_ids(deliveries: &mut Deliveries, n: usize) -> Vec<String> {
    let mut delivered = Vec::new();
    while delivered.len() < n {
        delivered.extend(next_batch(deliveries).await.into_iter().map(|(id, _)| id));
    }
    delivered
}

async fn existing_entries_come_first_and_then_new_ones(f: Fixture) {
    let key = stream_with_group(&f).await;
    let added = f.add_in_sequence(&key, 5).await.unwrap();
    let mut deliveries = consume(&f, &key, "consumer", 64);
    assert_eq!(next_ids(&mut deliveries, 5).await, added);
    for _ in 0..20 {
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(next_ids(&mut deliveries, 1).await, [id]);
    }
}

/// Its wait has no limit.
async fn a_consumer_waits_until_an_entry_is_added(f: Fixture) {
    let key = stream_with_group(&f).await;
    let mut deliveries = waiting_consumer(&f, &key, "consumer", 10);
    assert_keeps_waiting(deliveries.next(), 1_500).await;
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(next_ids(&mut deliveries, 1).await, [id]);
}

/// All entries arrive with any batch size.
async fn batches_do_not_exceed_the_batch_size(f: Fixture) {
    for batch in [1, 3, 64, 1_000] {
        let key = stream_with_group(&f).await;
        let added = f.add_in_sequence(&key, 100).await.unwrap();
        let mut deliveries = consume(&f, &key, "consumer", batch);
        let mut delivered = Vec::new();
        while delivered.len() < 100 {
            let entries = next_batch(&mut deliveries).await;
            assert!(
                entries.len() <= batch,
                "{} of at most {batch}",
                entries.len()
            );
            delivered.extend(entries.into_iter().map(|(id, _)| id));
        }
        assert_eq!(delivered, added);
    }
}

/// Together the consumers receive all entries, and each of them receives its own in order.
async fn each_entry_is_delivered_to_one_consumer(f: Fixture) {
    const N: usize = 1_000;
    let key = stream_with_group(&f).await;
    let (f, key, count) = (&f, &key, &AtomicUsize::new(0));
    let consumers = join_all((0..8).map(|i| async move {
        let mut deliveries = consume(f, key, &format!("consumer{i}"), 1 + i * 5);
        let mut delivered = Vec::new();
        while count.load(Ordering::Relaxed) < N {
            // The last entries may go to other consumers.
            let wait = tokio::time::timeout(Duration::from_millis(100), deliveries.next());
            let Ok(batch) = wait.await else { continue };
            let batch = batch.unwrap().unwrap();
            count.fetch_add(batch.len(), Ordering::Relaxed);
            let these: Vec<_> = batch.into_iter().map(|entry| entry.id).collect();
            f.backend.stream_ack(key, "group", &these).await.unwrap();
            delivered.extend(these);
        }
        delivered
    }));
    let (delivered, added) = join(consumers, f.add_concurrently(key, N)).await;
    assert!(
        delivered
            .iter()
            .all(|delivered| delivered.is_sorted_by_key(|id| parts(id)))
    );
    let mut all = delivered.concat();
    all.sort_by_key(|id| parts(id));
    assert_eq!(all, added.unwrap());
}

/// First come, first served: the i-th entry goes to the i-th consumer.
async fn waiting_consumers_are_served_in_order(f: Fixture) {
    let key = stream_with_group(&f).await;
    let consumers = (0..8).map(|i| waiting_consumer(&f, &key, &format!("consumer{i}"), 1));
    let mut consumers: Vec<_> = consumers.collect();
    let added = f.add_in_sequence(&key, 8).await.unwrap();
    let delivered = join_all(consumers.iter_mut().map(next_batch)).await;
    assert_eq!(
        delivered
            .iter()
            .flat_map(|delivered| ids(delivered))
            .collect::<Vec<_>>(),
        added
    );
}

async fn consumers_and_group_reads_share_one_queue(f: Fixture) {
    let key = stream_with_group(&f).await;
    let read = |name| {
        f.backend
            .stream_read_group(&key, "group", name, 1, LONG_WAIT)
    };
    let first = crate::fixture::started(read("first"));
    let mut second = waiting_consumer(&f, &key, "second", 1);
    let third = crate::fixture::started(read("third"));
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(ids(&first.await.unwrap()), [&added[0]]);
    assert_eq!(next_ids(&mut second, 1).await, [&*added[1]]);
    assert_eq!(ids(&third.await.unwrap()), [&added[2]]);
}

async fn each_group_receives_all_entries(f: Fixture) {
    let key = stream_with_group(&f).await;
    f.backend
        .stream_create_group(&key, "other", "0")
        .await
        .unwrap();
    let mut one = waiting_consumer(&f, &key, "consumer", 10);
    let mut two = f
        .backend
        .consume(&key, "other", "consumer", ConsumeOptions::default());
    let added = f.add_in_sequence(&key, 50).await.unwrap();
    assert_eq!(next_ids(&mut one, 50).await, added);
    assert_eq!(next_ids(&mut two, 50).await, added);
}

/// Other consumers receive the rest.
async fn a_consumer_that_is_not_polled_holds_a_bounded_number(f: Fixture) {
    const N: usize = 1_000;
    let key = stream_with_group(&f).await;
    let added = f.add_concurrently(&key, N).await.unwrap();
    let mut slow = consume(&f, &key, "slow", 5);
    let mut all = next_ids(&mut slow, 1).await;
    // Time to receive more than it may.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut other = consume(&f, &key, "other", 50);
    let mut by_others = Vec::new();
    while by_others.last() != added.last() {
        by_others.extend(next_ids(&mut other, 1).await);
    }
    assert!(
        by_others.len() > N / 2,
        "the consumer that is not polled holds {}",
        N - by_others.len()
    );
    let rest = N - by_others.len() - all.len();
    all.extend(next_ids(&mut slow, rest).await);
    all.extend(by_others);
    assert_eq!(all, added);
}

/// Neither acknowledged nor pending ones, and to no consumer.
async fn delivered_entries_are_not_redelivered(f: Fixture) {
    let key = stream_with_group(&f).await;
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    let mut deliveries = consume(&f, &key, "consumer", 64);
    assert_eq!(next_ids(&mut deliveries, 10).await, added);
    f.backend
        .stream_ack(&key, "group", &added[..5])
        .await
        .unwrap();
    drop(deliveries);
    assert_eq!(f.read_group_now(&key, "group", "other").await.unwrap(), []);
    let mut again = waiting_consumer(&f, &key, "consumer", 64);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(next_ids(&mut again, 1).await, [id]);
}

/// The number of pending entries in `group`.
pub(super) async fn pending_count(redis: &DirectRedis, key: &str) -> u64 {
    let pending: (u64, redis::Value, redis::Value, redis::Value) = redis
        .send(&[b"XPENDING", key.as_bytes(), b"group"])
        .await
        .unwrap();
    pending.0
}

/// One at a time or several in one call.
async fn delivered_entries_are_pending_until_acknowledged(f: Fixture, redis: DirectRedis) {
    let key = stream_with_group(&f).await;
    let mut deliveries = waiting_consumer(&f, &key, "consumer", 4);
    let added = f.add_in_sequence(&key, 20).await.unwrap();
    let delivered = next_ids(&mut deliveries, 20).await;
    assert_eq!(delivered, added);
    assert_eq!(pending_count(&redis, &key).await, 20);
    for id in &delivered[..5] {
        f.backend
            .stream_ack(&key, "group", std::slice::from_ref(id))
            .await
            .unwrap();
    }
    assert_eq!(pending_count(&redis, &key).await, 15);
    f.backend
        .stream_ack(&key, "group", &delivered[5..])
        .await
        .unwrap();
    assert_eq!(pending_count(&redis, &key).await, 0);
}

/// One by one, or many by one script.
async fn entries_added_directly_to_redis_are_delivered(f: Fixture, redis: DirectRedis) {
    let key = stream_with_group(&f).await;
    let mut deliveries = waiting_consumer(&f, &key, "consumer", 10);
    let _: String = redis
        .send(&[b"XADD", key.as_bytes(), b"5-1", b"a", b"1"])
        .await
        .unwrap();
    assert_eq!(next_ids(&mut deliveries, 1).await, ["5-1"]);
    let script = b"for i = 1, 50 do redis.call('XADD', KEYS[1], '9-' .. i, 'a', '1') end";
    let _: () = redis
        .send(&[b"EVAL", script, b"1", key.as_bytes()])
        .await
        .unwrap();
    let expected: Vec<_> = (1..=50).map(|i| format!("9-{i}")).collect();
    assert_eq!(next_ids(&mut deliveries, 50).await, expected);
}
