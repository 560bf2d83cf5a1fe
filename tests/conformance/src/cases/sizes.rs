//! Subscriptions to entries of very different sizes, around and beyond the bytes that a client
//! lets come at once, to readers that stop now and then.

use std::time::Duration;

use futures_util::future::join;
use streamgate_protocol::{ConsumeOptions, Deliveries, StreamEntry, TailFrom};

use super::consume::{started, consume, group, next};
use crate::fixture::Fixture;
use crate::reader::Reader;

cases![
    ;
    heavy:
    a_tail_is_given_what_is_there,
    a_tail_is_given_what_is_added,
    a_tail_that_was_not_polled_is_given_all,
    a_consumer_is_given_what_is_there,
    a_consumer_is_given_what_is_added,
    a_batch_may_be_more_than_fits_at_once,
];

const KIB: usize = 1_024;

/// In KiB. A client grants 1 MiB.
const SIZES: [usize; 16] =
    [4, 1_200, 4, 200, 1_023, 4, 1_024, 1_025, 600, 500, 4, 3_072, 4, 4, 1_100, 4];

/// A reader stops after each so many entries.
const PAUSE_EVERY: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

fn value(i: usize) -> String {
    char::from(b'a' + i as u8).to_string().repeat(SIZES[i] * KIB)
}

async fn add(f: &Fixture, key: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for i in 0..SIZES.len() {
        ids.push(f.add(key, &value(i)).await.unwrap());
    }
    ids
}

/// The `i`-th of them, whole; the values are too long to be printed.
fn check(i: usize, (id, fields): &StreamEntry) -> String {
    let [(_, is)] = &fields[..] else {
        unreachable!("{id} has {} fields", fields.len());
    };
    assert!(*is == value(i), "entry {i} ({id}) has {} bytes that are not its own", is.len());
    id.clone()
}

/// The ids of all, from a tail.
async fn read(tail: &mut Reader) -> Vec<String> {
    let mut ids = Vec::new();
    for i in 0..SIZES.len() {
        if i % PAUSE_EVERY == PAUSE_EVERY - 1 {
            tokio::time::sleep(PAUSE).await;
        }
        ids.push(check(i, &tail.entry().await));
    }
    ids
}

/// The ids of all, from a consumer, which acknowledges each batch.
async fn take(f: &Fixture, key: &str, deliveries: &mut Deliveries) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < SIZES.len() {
        let batch = next(deliveries).await;
        let seen = ids.len();
        ids.extend(batch.iter().enumerate().map(|(i, entry)| check(seen + i, entry)));
        f.backend.stream_ack(key, "group", &ids[seen..]).await.unwrap();
        if ids.len() / PAUSE_EVERY > seen / PAUSE_EVERY {
            tokio::time::sleep(PAUSE).await;
        }
    }
    ids
}

/// From the backlog; it goes on with what comes.
async fn a_tail_is_given_what_is_there(f: Fixture) {
    let key = f.key();
    let added = add(&f, &key).await;
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(read(&mut tail).await, added);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}

/// Meanwhile.
async fn a_tail_is_given_what_is_added(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let (read, added) = join(read(&mut tail), add(&f, &key)).await;
    assert_eq!(read, added);
    tail.expect_silence(100).await;
}

/// It catches up.
async fn a_tail_that_was_not_polled_is_given_all(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let added = add(&f, &key).await;
    assert_eq!(read(&mut tail).await, added);
    tail.expect_silence(100).await;
}

/// In batches of any size.
async fn a_consumer_is_given_what_is_there(f: Fixture) {
    for batch in [1, 4, 64] {
        let key = group(&f).await;
        let added = add(&f, &key).await;
        let mut deliveries = consume(&f, &key, "consumer", batch);
        assert_eq!(take(&f, &key, &mut deliveries).await, added);
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(next(&mut deliveries).await[0].0, id);
    }
}

/// Meanwhile.
async fn a_consumer_is_given_what_is_added(f: Fixture) {
    for batch in [1, 64] {
        let key = group(&f).await;
        let mut deliveries = started(&f, &key, "consumer", batch);
        let (taken, added) = join(take(&f, &key, &mut deliveries), add(&f, &key)).await;
        assert_eq!(taken, added);
    }
}

/// A batch as it is by default, of entries that each are small.
async fn a_batch_may_be_more_than_fits_at_once(f: Fixture) {
    let key = group(&f).await;
    let ConsumeOptions { batch, .. } = ConsumeOptions::default();
    let long = "x".repeat(20 * KIB);
    assert!(batch * long.len() > KIB * KIB);
    let mut added = Vec::new();
    for _ in 0..2 * batch {
        added.push(f.add(&key, &long).await.unwrap());
    }
    let mut deliveries = consume(&f, &key, "consumer", batch);
    for _ in 0..2 {
        let mut taken = Vec::new();
        while taken.len() < added.len() {
            for (id, fields) in next(&mut deliveries).await {
                assert!(fields[0].1 == long, "entry {id}");
                taken.push(id);
            }
        }
        assert_eq!(taken, added);
        for id in &mut added {
            *id = f.add(&key, &long).await.unwrap();
        }
    }
}
