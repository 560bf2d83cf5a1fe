//! Tails that start while entries are added: the change from the backlog to new entries.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use streamgate_protocol::TailFrom;

use crate::fixture::{Fixture, values};
use crate::reader::Reader;

cases![
    a_tail_moves_from_the_backlog_to_new_entries,
    a_slow_tail_catches_up,
    tails_that_start_at_any_time_return_each_entry_once,
    a_tail_that_is_resumed_many_times_returns_each_entry_once,
    a_tail_of_a_stream_that_is_being_created_misses_nothing,
];

/// The value of the last entry.
const END: &str = "end";

/// Adds the entry that ends the stream; the others have numbers as values.
async fn add_end(f: &Fixture, key: &str) -> String {
    f.add(key, END).await.unwrap()
}

/// Reads up to the last entry, with a pause after every `every` entries; 0 means none.
async fn read_to_end(tail: &mut Reader, every: usize) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let entry = tail.entry().await;
        let last = values(std::slice::from_ref(&entry)) == [END];
        ids.push(entry.0);
        if last {
            return ids;
        }
        if every > 0 && ids.len().is_multiple_of(every) {
            // A reader that is slower than the adds.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Entries are added while the tail reaches the end of its backlog.
async fn a_tail_moves_from_the_backlog_to_new_entries(f: Fixture) {
    for _ in 0..5 {
        let key = f.key();
        let mut added = f.add_concurrently(&key, 300).await.unwrap();
        let read = async {
            let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
            read_to_end(&mut tail, 0).await
        };
        let adds = async {
            let mut added = f.add_concurrently(&key, 700).await.unwrap();
            added.push(add_end(&f, &key).await);
            added
        };
        let (read, more) = join(read, adds).await;
        added.extend(more);
        assert_eq!(read, added);
    }
}

async fn a_slow_tail_catches_up(f: Fixture) {
    let key = f.key();
    let tails = [5, 20, 100].map(|every| (every, f.clone(), key.clone()));
    let read = join_all(tails.map(|(every, f, key)| async move {
        let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
        read_to_end(&mut tail, every).await
    }));
    let adds = async {
        let mut added = f.add_concurrently(&key, 1_000).await.unwrap();
        added.push(add_end(&f, &key).await);
        added
    };
    let (read, added) = join(read, adds).await;
    for read in read {
        assert_eq!(read, added);
    }
}

/// From their start to the end of the stream.
async fn tails_that_start_at_any_time_return_each_entry_once(f: Fixture) {
    const TAILS: usize = 40;
    let key = f.key();
    let first = f.add(&key, "first").await.unwrap();
    let started = AtomicUsize::new(0);
    let (f, key, first, started) = (&f, &key, &first, &started);
    let read = join_all((0..TAILS).map(|i| async move {
        // Starts at scattered moments.
        tokio::time::sleep(Duration::from_millis(i as u64 * 7_919 % 400)).await;
        let from = match i % 4 {
            0 => TailFrom::Beginning,
            1 => TailFrom::Now,
            2 => TailFrom::Last(i),
            _ => TailFrom::After(first.clone()),
        };
        let mut tail = Reader::open(f, key, from.clone()).await;
        let position = tail.position().to_owned();
        started.fetch_add(1, Ordering::Relaxed);
        (from, position, read_to_end(&mut tail, i % 7 * 10).await)
    }));
    let adds = async move {
        let mut added = vec![first.clone()];
        while started.load(Ordering::Relaxed) < TAILS {
            added.extend(f.add_concurrently(key, 40).await.unwrap());
            // Bounds the number of entries on slow machines.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        added.extend(f.add_concurrently(key, 40).await.unwrap());
        added.push(add_end(f, key).await);
        added
    };
    let (read, added) = join(read, adds).await;
    for (from, position, read) in read {
        assert_eq!(read, added[added.len() - read.len()..], "{from:?}");
        let before = added.len() - read.len();
        match from {
            TailFrom::Beginning => assert_eq!(before, 0),
            TailFrom::After(_) => assert_eq!(before, 1),
            // The first item reports the position, unless it had entries.
            TailFrom::Now if position < read[0] => assert_eq!(position, added[before - 1]),
            TailFrom::Now => {}
            TailFrom::Last(count) => assert!(read.len() >= count.min(before + read.len())),
            other => unreachable!("no case starts from {other:?}"),
        }
    }
}

/// As clients do that lose their connection.
async fn a_tail_that_is_resumed_many_times_returns_each_entry_once(f: Fixture) {
    let key = f.key();
    let read = async {
        let mut read = Vec::new();
        let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
        loop {
            let entry = tail.entry().await;
            let last = values(std::slice::from_ref(&entry)) == [END];
            read.push(entry.0.clone());
            if last {
                return read;
            }
            if read.len().is_multiple_of(17) {
                tail = Reader::started(&f, &key, TailFrom::After(entry.0));
            }
        }
    };
    let adds = async {
        let mut added = f.add_concurrently(&key, 800).await.unwrap();
        added.push(add_end(&f, &key).await);
        added
    };
    let (read, added) = join(read, adds).await;
    assert_eq!(read, added);
}

/// The first add is in flight when the tail starts.
async fn a_tail_of_a_stream_that_is_being_created_misses_nothing(f: Fixture) {
    for _ in 0..30 {
        let key = f.key();
        let (added, mut tail) = join(
            f.add_in_sequence(&key, 3),
            Reader::open(&f, &key, TailFrom::Beginning),
        )
        .await;
        assert_eq!(tail.ids(3).await, added.unwrap());
    }
}
