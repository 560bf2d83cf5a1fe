//! Tails of a backend that has nothing better than reads.

use std::future::poll_fn;

use futures_util::FutureExt;
use streamgate_backend::tail::MAX_READ_ENTRIES;
use streamgate_backend::{Backend, TailEvent, TailSource};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, StreamingBackend, TailFrom};

use crate::plain::Plain;

/// What a tail gives: positions without entries as `@id`, gaps as `after..first`, values.
async fn next(follow: &mut dyn TailSource, room: Credit) -> CacheResult<Vec<String>> {
    Ok(match poll_fn(|cx| follow.poll_next(cx, room)).await? {
        TailEvent::Gap(gap) => {
            vec![format!("{}..{}", gap.after, gap.first.unwrap_or_default())]
        }
        TailEvent::Segment(segment) if segment.entries().is_empty() => {
            vec![format!("@{}", segment.position())]
        }
        TailEvent::Segment(segment) => {
            let values = segment.entries().iter().map(|(_, f)| f[0].1.clone());
            values.collect()
        }
    })
}

async fn add(backend: &Plain, value: &str, maxlen: Option<usize>) -> String {
    let fields = vec![("v".to_owned(), value.to_owned())];
    backend.stream_add("s", fields, maxlen).await.unwrap()
}

fn plain() -> Plain {
    Plain(MemoryStreams::new())
}

const ALL: Credit = Credit::UNLIMITED;

#[tokio::test]
async fn what_is_there_comes_and_then_what_is_added() {
    let backend = plain();
    add(&backend, "a", None).await;
    add(&backend, "b", None).await;
    let mut tail = backend.tail_source("s", TailFrom::Beginning);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["a", "b"]);
    for value in ["c", "d"] {
        assert!(next(&mut *tail, ALL).now_or_never().is_none());
        add(&backend, value, None).await;
        assert_eq!(next(&mut *tail, ALL).await.unwrap(), [value]);
    }
}

#[tokio::test]
async fn the_first_item_says_where_it_stands() {
    let backend = plain();
    let mut tail = backend.tail_source("s", TailFrom::Now);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["@0-0"]);
    let a = add(&backend, "a", None).await;
    add(&backend, "b", None).await;
    let mut tail = backend.tail_source("s", TailFrom::After(a.clone()));
    assert_eq!(
        next(&mut *tail, Credit::default()).await.unwrap(),
        [format!("@{a}")]
    );
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["b"]);
    for (count, expected) in [(1, vec!["b"]), (2, vec!["a", "b"]), (9, vec!["a", "b"])] {
        let mut tail = backend.tail_source("s", TailFrom::Last(count));
        assert_eq!(next(&mut *tail, ALL).await.unwrap(), expected);
    }
    let mut tail = backend.tail_source("s", TailFrom::Last(0));
    assert!(next(&mut *tail, ALL).await.unwrap()[0].starts_with('@'));
}

#[tokio::test]
async fn it_keeps_to_its_room() {
    let backend = plain();
    for value in ["a", "b", "c"] {
        add(&backend, value, None).await;
    }
    let mut tail = backend.tail_source("s", TailFrom::Beginning);
    let room = |entries, bytes| Credit { entries, bytes };
    assert_eq!(next(&mut *tail, room(1, 99)).await.unwrap(), ["a"]);
    assert!(next(&mut *tail, room(0, 99)).now_or_never().is_none());
    assert!(next(&mut *tail, room(9, 0)).now_or_never().is_none());
    assert_eq!(next(&mut *tail, room(9, 1)).await.unwrap(), ["b"]);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["c"]);
}

#[tokio::test]
async fn a_read_is_bounded() {
    let backend = plain();
    for _ in 0..=MAX_READ_ENTRIES {
        add(&backend, "a", None).await;
    }
    let mut tail = backend.tail_source("s", TailFrom::Beginning);
    let read = next(&mut *tail, ALL).await.unwrap();
    assert_eq!(read.len() as u64, MAX_READ_ENTRIES);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn what_was_trimmed_is_a_gap_and_told_once() {
    let backend = plain();
    let a = add(&backend, "a", None).await;
    let mut tail = backend.tail_source("s", TailFrom::Now);
    next(&mut *tail, ALL).await.unwrap();
    add(&backend, "b", None).await;
    let c = add(&backend, "c", Some(1)).await;
    let told = [format!("{a}..{c}")];
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), told);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["c"]);
    let mut again = backend.tail_source("s", TailFrom::After(a));
    assert_eq!(next(&mut *again, ALL).await.unwrap(), told);
}

#[tokio::test]
async fn a_position_between_entries_that_are_there_is_no_gap() {
    let backend = plain();
    let a = add(&backend, "a", None).await;
    let ms = |id: &str| id.split_once('-').unwrap().0.to_owned();
    // Until another millisecond has come, so that ids fit between two entries.
    while ms(&add(&backend, "b", None).await) == ms(&a) {}
    let between = format!("{}-{}", ms(&a), 1_u64 << 40);
    let mut tail = backend.tail_source("s", TailFrom::After(between));
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["b"]);
}

#[tokio::test]
async fn errors_are_those_of_every_backend() {
    let backend = plain();
    let long = "x".repeat(20_000);
    for (stream, from, code) in [
        ("s", TailFrom::After("$".into()), "ERR"),
        ("s", TailFrom::After("1-x".into()), "ERR"),
        (&long, TailFrom::Now, "LIMIT"),
    ] {
        let mut tail = backend.tail_source(stream, from);
        assert_eq!(next(&mut *tail, ALL).await.unwrap_err().code(), code);
    }
}
