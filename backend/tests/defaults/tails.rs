//! Tails of a backend that has only reads: they poll.

use std::future::poll_fn;

use futures_util::FutureExt;
use streamgate_backend::tail::MAX_READ_ENTRIES;
use streamgate_backend::{Backend, TailEvent, TailSource};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, StreamingBackend, TailFrom};

use crate::six_operations::SixOperations;

/// Returns the next item: a position without entries as `@id`, a gap as `after..first`,
/// the id of a skipped entry, or values.
async fn next(tail: &mut dyn TailSource, room: Credit) -> CacheResult<Vec<String>> {
    Ok(match poll_fn(|cx| tail.poll_next(cx, room)).await? {
        TailEvent::Gap(gap) => {
            vec![format!("{}..{}", gap.after, gap.first.unwrap_or_default())]
        }
        TailEvent::Segment(segment) if segment.entries().is_empty() => {
            vec![format!("@{}", segment.position())]
        }
        TailEvent::Segment(segment) => {
            let values = segment
                .entries()
                .iter()
                .map(|entry| entry.fields[0].1.to_string());
            values.collect()
        }
        TailEvent::Skipped(skipped) => vec![format!("skipped {}", skipped.id)],
    })
}

async fn add(backend: &SixOperations, value: &str, maxlen: Option<usize>) -> String {
    let fields = vec![("v".to_owned(), value.to_owned())];
    backend.stream_add("s", fields, maxlen).await.unwrap()
}

fn backend() -> SixOperations {
    SixOperations(MemoryStreams::new())
}

const ALL: Credit = Credit::UNLIMITED;

#[tokio::test]
async fn existing_entries_come_first_and_then_added_ones() {
    let backend = backend();
    add(&backend, "a", None).await;
    add(&backend, "b", None).await;
    let mut tail = backend.tail_source("s".into(), TailFrom::Beginning);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["a", "b"]);
    for value in ["c", "d"] {
        assert!(next(&mut *tail, ALL).now_or_never().is_none());
        add(&backend, value, None).await;
        assert_eq!(next(&mut *tail, ALL).await.unwrap(), [value]);
    }
}

#[tokio::test]
async fn the_first_item_reports_the_position() {
    let backend = backend();
    let mut tail = backend.tail_source("s".into(), TailFrom::Now);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["@0-0"]);
    let a = add(&backend, "a", None).await;
    add(&backend, "b", None).await;
    let mut tail = backend.tail_source("s".into(), TailFrom::After(a.clone()));
    assert_eq!(
        next(&mut *tail, Credit::default()).await.unwrap(),
        [format!("@{a}")]
    );
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["b"]);
    for (count, expected) in [(1, vec!["b"]), (2, vec!["a", "b"]), (9, vec!["a", "b"])] {
        let mut tail = backend.tail_source("s".into(), TailFrom::Last(count));
        assert_eq!(next(&mut *tail, ALL).await.unwrap(), expected);
    }
    let mut tail = backend.tail_source("s".into(), TailFrom::Last(0));
    assert!(next(&mut *tail, ALL).await.unwrap()[0].starts_with('@'));
}

#[tokio::test]
async fn a_tail_stays_within_its_room() {
    let backend = backend();
    for value in ["a", "b", "c"] {
        add(&backend, value, None).await;
    }
    let mut tail = backend.tail_source("s".into(), TailFrom::Beginning);
    let room = |entries, bytes| Credit { entries, bytes };
    assert_eq!(next(&mut *tail, room(1, 99)).await.unwrap(), ["a"]);
    assert!(next(&mut *tail, room(0, 99)).now_or_never().is_none());
    assert!(next(&mut *tail, room(9, 0)).now_or_never().is_none());
    assert_eq!(next(&mut *tail, room(9, 1)).await.unwrap(), ["b"]);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["c"]);
}

#[tokio::test]
async fn a_read_is_bounded() {
    let backend = backend();
    for _ in 0..=MAX_READ_ENTRIES {
        add(&backend, "a", None).await;
    }
    let mut tail = backend.tail_source("s".into(), TailFrom::Beginning);
    let read = next(&mut *tail, ALL).await.unwrap();
    assert_eq!(read.len() as u64, MAX_READ_ENTRIES);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn trimmed_entries_are_a_gap_that_is_reported_once() {
    let backend = backend();
    let a = add(&backend, "a", None).await;
    let mut tail = backend.tail_source("s".into(), TailFrom::Now);
    next(&mut *tail, ALL).await.unwrap();
    add(&backend, "b", None).await;
    let c = add(&backend, "c", Some(1)).await;
    let gap = [format!("{a}..{c}")];
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), gap);
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["c"]);
    let mut again = backend.tail_source("s".into(), TailFrom::After(a));
    assert_eq!(next(&mut *again, ALL).await.unwrap(), gap);
}

#[tokio::test]
async fn a_position_between_existing_entries_is_no_gap() {
    let backend = backend();
    let a = add(&backend, "a", None).await;
    let ms = |id: &str| id.split_once('-').unwrap().0.to_owned();
    // Add until the millisecond changes, so that an id fits between two entries.
    while ms(&add(&backend, "b", None).await) == ms(&a) {}
    let between = format!("{}-{}", ms(&a), 1_u64 << 40);
    let mut tail = backend.tail_source("s".into(), TailFrom::After(between));
    assert_eq!(next(&mut *tail, ALL).await.unwrap(), ["b"]);
}

#[tokio::test]
async fn invalid_starts_fail_with_the_codes_of_every_backend() {
    let backend = backend();
    let long = "x".repeat(20_000);
    for (stream, from, code) in [
        ("s", TailFrom::After("$".into()), "ERR"),
        ("s", TailFrom::After("1-x".into()), "ERR"),
        (&long, TailFrom::Now, "LIMIT"),
    ] {
        let mut tail = backend.tail_source(stream.into(), from);
        assert_eq!(next(&mut *tail, ALL).await.unwrap_err().code(), code);
    }
}
