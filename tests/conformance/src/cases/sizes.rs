//! Subscriptions to entries of very different sizes, around and beyond the window of a client, with
//! readers that pause now and then.

use std::time::Duration;

use futures_util::future::join;
use streamgate_protocol::{ConsumeOptions, Deliveries, StreamEntry, TailFrom};

use super::consume::{consume, next_batch, stream_with_group, waiting_consumer};
use crate::fixture::Fixture;
use crate::reader::Reader;

cases![
    ;
    heavy:
    a_tail_returns_existing_entries_of_any_size,
    a_tail_returns_new_entries_of_any_size,
    a_tail_that_was_not_polled_catches_up_with_entries_of_any_size,
    a_consumer_receives_existing_entries_of_any_size,
    a_consumer_receives_new_entries_of_any_size,
    a_batch_may_exceed_the_client_window,
];

const KIB: usize = 1_024;

/// In KiB. The window of a client is 1 MiB.
const SIZES: [usize; 16] = [
    4, 1_200, 4, 200, 1_023, 4, 1_024, 1_025, 600, 500, 4, 3_072, 4, 4, 1_100, 4,
];

/// A reader pauses after this many entries.
const PAUSE_EVERY: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

fn value(i: usize) -> String {
    char::from(b'a' + i as u8)
        .to_string()
        .repeat(SIZES[i] * KIB)
}

/// Adds an entry of each size and returns the ids.
async fn add_all(f: &Fixture, key: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for i in 0..SIZES.len() {
        ids.push(f.add(key, &value(i)).await.unwrap());
    }
    ids
}

/// Checks the value of the `i`-th entry, which is too long to be printed, and returns its id.
fn checked_id(i: usize, (id, fields): &StreamEntry) -> String {
    let [(_, is)] = &fields[..] else {
        unreachable!("{id} has {} fields", fields.len());
    };
    assert!(
        *is == value(i),
        "entry {i} ({id}) has a wrong value of {} bytes",
        is.len()
    );
    id.clone()
}

/// Reads all entries from a tail and returns their ids.
async fn read_all(tail: &mut Reader) -> Vec<String> {
    let mut ids = Vec::new();
    for i in 0..SIZES.len() {
        if i % PAUSE_EVERY == PAUSE_EVERY - 1 {
            tokio::time::sleep(PAUSE).await;
        }
        ids.push(checked_id(i, &tail.entry().await));
    }
    ids
}

/// Reads all entries from a consumer, acknowledges each batch, and returns the ids.
async fn consume_all(f: &Fixture, key: &str, deliveries: &mut Deliveries) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < SIZES.len() {
        let batch = next_batch(deliveries).await;
        let seen = ids.len();
        ids.extend(
            batch
                .iter()
                .enumerate()
                .map(|(i, entry)| checked_id(seen + i, entry)),
        );
        f.backend
            .stream_ack(key, "group", &ids[seen..])
            .await
            .unwrap();
        if ids.len() / PAUSE_EVERY > seen / PAUSE_EVERY {
            tokio::time::sleep(PAUSE).await;
        }
    }
    ids
}

/// And then new ones.
async fn a_tail_returns_existing_entries_of_any_size(f: Fixture) {
    let key = f.key();
    let added = add_all(&f, &key).await;
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(read_all(&mut tail).await, added);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}

/// It reads while they are added.
async fn a_tail_returns_new_entries_of_any_size(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let (read, added) = join(read_all(&mut tail), add_all(&f, &key)).await;
    assert_eq!(read, added);
    tail.expect_silence(100).await;
}

async fn a_tail_that_was_not_polled_catches_up_with_entries_of_any_size(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let added = add_all(&f, &key).await;
    assert_eq!(read_all(&mut tail).await, added);
    tail.expect_silence(100).await;
}

/// With any batch size.
async fn a_consumer_receives_existing_entries_of_any_size(f: Fixture) {
    for batch in [1, 4, 64] {
        let key = stream_with_group(&f).await;
        let added = add_all(&f, &key).await;
        let mut deliveries = consume(&f, &key, "consumer", batch);
        assert_eq!(consume_all(&f, &key, &mut deliveries).await, added);
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(next_batch(&mut deliveries).await[0].0, id);
    }
}

/// It reads while they are added.
async fn a_consumer_receives_new_entries_of_any_size(f: Fixture) {
    for batch in [1, 64] {
        let key = stream_with_group(&f).await;
        let mut deliveries = waiting_consumer(&f, &key, "consumer", batch);
        let (delivered, added) =
            join(consume_all(&f, &key, &mut deliveries), add_all(&f, &key)).await;
        assert_eq!(delivered, added);
    }
}

/// A batch of the default size, of entries that are small each.
async fn a_batch_may_exceed_the_client_window(f: Fixture) {
    let key = stream_with_group(&f).await;
    let ConsumeOptions { batch, .. } = ConsumeOptions::default();
    let long = "x".repeat(20 * KIB);
    assert!(batch * long.len() > KIB * KIB);
    let mut added = Vec::new();
    for _ in 0..2 * batch {
        added.push(f.add(&key, &long).await.unwrap());
    }
    let mut deliveries = consume(&f, &key, "consumer", batch);
    for _ in 0..2 {
        let mut delivered = Vec::new();
        while delivered.len() < added.len() {
            for (id, fields) in next_batch(&mut deliveries).await {
                assert!(fields[0].1 == long, "entry {id}");
                delivered.push(id);
            }
        }
        assert_eq!(delivered, added);
        for id in &mut added {
            *id = f.add(&key, &long).await.unwrap();
        }
    }
}
