//! Tails that begin while entries come: what is there joins what comes live.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use streamgate_protocol::TailFrom;

use crate::fixture::{Fixture, values};
use crate::reader::Reader;

cases![
    a_backlog_joins_what_comes_live,
    a_tail_that_reads_slowly_joins_too,
    tails_that_begin_at_any_time_miss_and_repeat_nothing,
    tails_that_are_resumed_again_and_again_miss_nothing,
    tails_of_streams_that_come_into_being_miss_nothing,
];

/// What the last entry says.
const END: &str = "end";

/// The value of `fill` counts, so this ends the stream.
async fn end(f: &Fixture, key: &str) -> String {
    f.add(key, END).await.unwrap()
}

/// Reads to the end, resting after every so many entries.
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
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The adds go on while the tail comes to their end.
async fn a_backlog_joins_what_comes_live(f: Fixture) {
    for _ in 0..5 {
        let key = f.key();
        let mut added = f.add_concurrently(&key, 300).await.unwrap();
        let read = async {
            let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
            read_to_end(&mut tail, 0).await
        };
        let adds = async {
            let mut added = f.add_concurrently(&key, 700).await.unwrap();
            added.push(end(&f, &key).await);
            added
        };
        let (read, more) = join(read, adds).await;
        added.extend(more);
        assert_eq!(read, added);
    }
}

/// It is behind all the while, and then is not.
async fn a_tail_that_reads_slowly_joins_too(f: Fixture) {
    let key = f.key();
    let tails = [5, 20, 100].map(|every| (every, f.clone(), key.clone()));
    let read = join_all(tails.map(|(every, f, key)| async move {
        let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
        read_to_end(&mut tail, every).await
    }));
    let adds = async {
        let mut added = f.add_concurrently(&key, 1_000).await.unwrap();
        added.push(end(&f, &key).await);
        added
    };
    let (read, added) = join(read, adds).await;
    for read in read {
        assert_eq!(read, added);
    }
}

/// Wherever they start, they give a whole end of the stream.
async fn tails_that_begin_at_any_time_miss_and_repeat_nothing(f: Fixture) {
    const TAILS: usize = 40;
    let key = f.key();
    let first = f.add(&key, "first").await.unwrap();
    let begun = AtomicUsize::new(0);
    let (f, key, first, begun) = (&f, &key, &first, &begun);
    let read = join_all((0..TAILS).map(|i| async move {
        tokio::time::sleep(Duration::from_millis(i as u64 * 7_919 % 400)).await;
        let from = match i % 4 {
            0 => TailFrom::Beginning,
            1 => TailFrom::Now,
            2 => TailFrom::Last(i),
            _ => TailFrom::After(first.clone()),
        };
        let mut tail = Reader::open(f, key, from.clone()).await;
        let stood = tail.position().to_owned();
        begun.fetch_add(1, Ordering::Relaxed);
        (from, stood, read_to_end(&mut tail, i % 7 * 10).await)
    }));
    let adds = async move {
        let mut added = vec![first.clone()];
        while begun.load(Ordering::Relaxed) < TAILS {
            added.extend(f.add_concurrently(key, 40).await.unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        added.extend(f.add_concurrently(key, 40).await.unwrap());
        added.push(end(f, key).await);
        added
    };
    let (read, added) = join(read, adds).await;
    for (from, stood, read) in read {
        assert_eq!(read, added[added.len() - read.len()..], "{from:?}");
        let before = added.len() - read.len();
        match from {
            TailFrom::Beginning => assert_eq!(before, 0),
            TailFrom::After(_) => assert_eq!(before, 1),
            // It said where it stood, unless it had entries at once.
            TailFrom::Now if stood < read[0] => assert_eq!(stood, added[before - 1]),
            TailFrom::Now => {}
            TailFrom::Last(count) => assert!(read.len() >= count.min(before + read.len())),
            other => panic!("no case starts from {other:?}"),
        }
    }
}

/// As clients do that lose their connection: from the last position.
async fn tails_that_are_resumed_again_and_again_miss_nothing(f: Fixture) {
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
        added.push(end(&f, &key).await);
        added
    };
    let (read, added) = join(read, adds).await;
    assert_eq!(read, added);
}

/// Asked while the first entry is on its way.
async fn tails_of_streams_that_come_into_being_miss_nothing(f: Fixture) {
    for _ in 0..30 {
        let key = f.key();
        let (added, mut tail) =
            join(f.add_in_sequence(&key, 3), Reader::open(&f, &key, TailFrom::Beginning)).await;
        assert_eq!(tail.ids(3).await, added.unwrap());
    }
}
