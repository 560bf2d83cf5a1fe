use std::future::poll_fn;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{ConsumeOptions, Gap, GapReason, SubscribingBackend, TailFrom, TailItem};

use super::*;
use crate::batch::{MAX_BATCH_BYTES, MAX_BATCH_ENTRIES};
use crate::budget::MAX_SHARED_BYTES;
use streamgate_backend::{Segment, TailEvent, TailSource};

const ALL: Credit = Credit::UNLIMITED;

fn pull(tail: &mut dyn TailSource, room: Credit) -> Option<TailEvent> {
    let next = poll_fn(|cx| tail.poll_next(cx, room));
    next.now_or_never().map(Result::unwrap)
}

fn segment(tail: &mut dyn TailSource, room: Credit) -> Arc<Segment> {
    match pull(tail, room) {
        Some(TailEvent::Segment(segment)) => segment,
        other => panic!("no entries: {other:?}"),
    }
}

fn gap(tail: &mut dyn TailSource) -> Gap {
    match pull(tail, ALL) {
        Some(TailEvent::Gap(gap)) => *gap,
        other => panic!("no gap: {other:?}"),
    }
}

fn after(id: &str) -> TailFrom {
    TailFrom::After(id.to_owned())
}

fn add_trimming(streams: &MemoryStreams, value: &str, maxlen: usize) -> String {
    now(streams.stream_add("s", one(value), Some(maxlen))).unwrap()
}

#[test]
fn tails_that_read_the_newest_entries_share_one_segment() {
    let streams = MemoryStreams::new();
    let mut tails = [0; 3].map(|_| streams.tail_source("s".into(), TailFrom::Now));
    for tail in &mut tails {
        assert_eq!(segment(&mut **tail, ALL).position(), "0-0");
    }
    add(&streams, "s", "a");
    let received = tails.each_mut().map(|tail| segment(&mut **tail, ALL));
    assert!(
        received
            .iter()
            .all(|other| Arc::ptr_eq(other, &received[0]))
    );
    add(&streams, "s", "b");
    add(&streams, "s", "c");
    let first = segment(&mut *tails[0], Credit { entries: 1, ..ALL });
    assert_eq!(values(first.entries()), ["b"]);
    assert_eq!(values(segment(&mut *tails[1], ALL).entries()), ["b", "c"]);
    assert_eq!(values(segment(&mut *tails[0], ALL).entries()), ["c"]);
}

#[test]
fn shared_batches_are_bounded_and_freed() {
    let streams = MemoryStreams::new();
    let long = "x".repeat(200_000);
    let keys: Vec<_> = (0..40).map(|i| format!("s{i}")).collect();
    let tails = keys
        .iter()
        .map(|key| streams.tail_source(key.into(), TailFrom::Now));
    let mut tails: Vec<_> = tails.collect();
    let shared = || streams.store.lock().shared.used();
    for (key, tail) in keys.iter().zip(&mut tails) {
        segment(&mut **tail, ALL);
        add(&streams, key, &long);
        assert_eq!(segment(&mut **tail, ALL).entries().len(), 1);
        assert!(shared() <= MAX_SHARED_BYTES);
    }
    assert!(shared() > MAX_SHARED_BYTES / 2);
    add(&streams, "s0", "short");
    assert_eq!(values(segment(&mut *tails[0], ALL).entries()), ["short"]);
    drop(tails);
    assert_eq!(shared(), 0);
}

#[test]
fn a_batch_is_bounded() {
    let streams = MemoryStreams::new();
    for _ in 0..MAX_BATCH_ENTRIES + 1 {
        add(&streams, "s", "a");
    }
    let mut tail = streams.tail_source("s".into(), TailFrom::Beginning);
    assert_eq!(segment(&mut *tail, ALL).entries().len(), MAX_BATCH_ENTRIES);
    assert_eq!(segment(&mut *tail, ALL).entries().len(), 1);
    let long = "x".repeat(usize::try_from(MAX_BATCH_BYTES).unwrap() / 2);
    for _ in 0..3 {
        add(&streams, "s", &long);
    }
    assert_eq!(segment(&mut *tail, ALL).entries().len(), 2);
    assert_eq!(segment(&mut *tail, ALL).entries().len(), 1);
}

#[test]
fn a_tail_stays_within_its_room() {
    let streams = MemoryStreams::new();
    let ids = ["a", "b", "c"].map(|value| add(&streams, "s", value));
    let mut tail = streams.tail_source("s".into(), TailFrom::Last(2));
    let stands = segment(&mut *tail, Credit::default());
    assert_eq!(stands.entries(), []);
    let mut resumed = streams.tail_source("s".into(), after(stands.position()));
    assert_eq!(values(segment(&mut *resumed, ALL).entries()), ["b", "c"]);
    assert!(pull(&mut *tail, Credit { entries: 0, ..ALL }).is_none());
    assert!(pull(&mut *tail, Credit { bytes: 0, ..ALL }).is_none());
    let one = segment(&mut *tail, Credit { bytes: 1, ..ALL });
    assert_eq!(one.position(), ids[1]);
    assert_eq!(one.cost(), Credit::of(one.entries()));
    assert_eq!(values(segment(&mut *tail, ALL).entries()), ["c"]);
}

#[test]
fn bytes_are_counted_as_the_protocol_counts_them() {
    let streams = MemoryStreams::new();
    let first = add(&streams, "s", "é");
    add(&streams, "s", "b");
    let exact = Credit {
        bytes: (first.len() + "v".len() + "é".len()) as u64,
        ..ALL
    };
    let take = |bytes| {
        let mut tail = streams.tail_source("s".into(), TailFrom::Beginning);
        segment(&mut *tail, Credit { bytes, ..exact })
            .entries()
            .len()
    };
    assert_eq!([take(exact.bytes), take(exact.bytes + 1)], [1, 2]);
}

#[test]
fn a_tail_reports_exactly_the_gaps_it_has() {
    let streams = MemoryStreams::new();
    let mut tail = streams.tail_source("s".into(), TailFrom::Now);
    segment(&mut *tail, ALL);
    add(&streams, "s", "gone");
    let b = add_trimming(&streams, "b", 1);
    let reported = gap(&mut *tail);
    assert_eq!(
        (reported.after.as_str(), reported.first.as_deref()),
        ("0-0", Some(b.as_str()))
    );
    assert_eq!(reported.reason, GapReason::Trimmed);
    assert_eq!(values(segment(&mut *tail, ALL).entries()), ["b"]);
    // The entry at its position is trimmed, and it has missed nothing.
    let c = add_trimming(&streams, "c", 1);
    assert_eq!(values(segment(&mut *tail, ALL).entries()), ["c"]);
    let gone = add_trimming(&streams, "gone", 0);
    let reported = gap(&mut *tail);
    assert_eq!(
        (reported.after, reported.first, reported.position),
        (c, None, gone)
    );
    assert!(pull(&mut *tail, ALL).is_none());
}

#[test]
fn a_resumed_position_that_the_stream_knows_is_no_gap() {
    let streams = MemoryStreams::new();
    let ids = ["a", "b", "c", "d"].map(|value| add(&streams, "s", value));
    for id in &ids {
        segment(&mut *streams.tail_source("s".into(), after(id)), ALL);
    }
    segment(&mut *streams.tail_source("s".into(), after("0")), ALL);
    let e = add_trimming(&streams, "e", 2);
    for missed in ["0", "5-5", &ids[0], &ids[1]] {
        let mut tail = streams.tail_source("s".into(), after(missed));
        let reported = gap(&mut *tail);
        assert_eq!(reported.reason, GapReason::Trimmed);
        assert_eq!(reported.first.as_ref(), Some(&ids[3]));
        assert_eq!(values(segment(&mut *tail, ALL).entries()), ["d", "e"]);
        let mut again = streams.tail_source("s".into(), after(&reported.position));
        assert_eq!(values(segment(&mut *again, ALL).entries()), ["d", "e"]);
    }
    // The last trimmed entry: all entries after it are there.
    assert_eq!(
        segment(&mut *streams.tail_source("s".into(), after(&ids[2])), ALL)
            .entries()
            .len(),
        2
    );
    for from in [TailFrom::Beginning, TailFrom::Last(9), after(&e)] {
        segment(&mut *streams.tail_source("s".into(), from), ALL);
    }
}

#[test]
fn a_position_after_the_last_id_is_reported_once_as_recreated() {
    let streams = MemoryStreams::new();
    let later = "99999999999999-0";
    let mut tail = streams.tail_source("s".into(), after(later));
    let expected = Gap::new(later, "0-0").reason(GapReason::Recreated);
    assert_eq!(gap(&mut *tail), expected);
    assert!(pull(&mut *tail, ALL).is_none());
    add(&streams, "s", "a");
    assert_eq!(values(segment(&mut *tail, ALL).entries()), ["a"]);
    add_trimming(&streams, "b", 1);
    let reported = gap(&mut *streams.tail_source("s".into(), after(later)));
    assert_eq!(reported.reason, GapReason::Recreated);
    segment(
        &mut *streams.tail_source("s".into(), after(&reported.position)),
        ALL,
    );
}

#[test]
fn a_gap_is_reported_only_with_room() {
    let streams = MemoryStreams::new();
    let a = add(&streams, "s", "a");
    add(&streams, "s", "b");
    add_trimming(&streams, "c", 1);
    let mut tail = streams.tail_source("s".into(), after(&a));
    assert_eq!(segment(&mut *tail, Credit::default()).position(), a);
    assert!(pull(&mut *tail, Credit::default()).is_none());
    assert_eq!(gap(&mut *tail).after, a);
}

#[test]
fn a_dropped_tail_leaves_nothing_behind() {
    let streams = MemoryStreams::new();
    let mut tails: Vec<_> = (0..3)
        .map(|_| streams.tail_source("s".into(), TailFrom::Now))
        .collect();
    assert_eq!(
        used(&streams),
        [0; 3],
        "nothing starts before the first poll"
    );
    for tail in &mut tails {
        segment(&mut **tail, ALL);
        assert!(pull(&mut **tail, ALL).is_none());
    }
    assert!(used(&streams)[2] > 0);
    drop(tails);
    assert_eq!(used(&streams), [0; 3]);
    assert!(streams.store.lock().streams.is_empty());
}

#[test]
fn too_many_tails_are_refused() {
    let bytes = crate::budget::waiting_bytes(b"s", b"");
    let streams = MemoryStreams::builder().waiting_bytes(2 * bytes).build();
    let mut tails = [0; 3].map(|_| streams.tail_source("s".into(), TailFrom::Now));
    segment(&mut *tails[0], ALL);
    segment(&mut *tails[1], ALL);
    let refused = now(poll_fn(|cx| tails[2].poll_next(cx, ALL)));
    assert_eq!(code(refused), "OVERLOADED");
    drop(tails);
    segment(&mut *streams.tail_source("s".into(), TailFrom::Now), ALL);
}

#[test]
fn invalid_starts_are_refused() {
    let streams = MemoryStreams::new();
    let long = "x".repeat(20_000);
    for (key, from, expected) in [
        ("s", after("$"), "ERR"),
        ("s", after("1-x"), "ERR"),
        ("s", after(&long), "ERR"),
        (long.as_str(), TailFrom::Now, "LIMIT"),
    ] {
        let mut tail = streams.tail(key, from);
        assert_eq!(code(now(tail.next()).unwrap()), expected);
        assert_eq!(now(tail.next()), None);
    }
}

#[tokio::test]
async fn an_add_wakes_every_tail() {
    let streams = MemoryStreams::new();
    let tails = (0..100).map(|_| streams.tail("s", TailFrom::Now));
    let mut tails: Vec<_> = tails.collect();
    for tail in &mut tails {
        let first = tail.next().await.unwrap().unwrap();
        assert!(matches!(first, TailItem::Entries { entries, .. } if entries.is_empty()));
    }
    let waits: FuturesUnordered<_> = tails.iter_mut().map(StreamExt::next).collect();
    let received = tokio::join!(waits.collect::<Vec<_>>(), async { add(&streams, "s", "a") }).0;
    assert_eq!(received.len(), 100);
    assert!(
        received
            .iter()
            .all(|item| matches!(item, Some(Ok(TailItem::Entries { .. }))))
    );
}

#[tokio::test]
async fn a_consumer_reads_batch_by_batch() {
    let streams = MemoryStreams::new();
    streams.stream_create_group("s", "g", "0").await.unwrap();
    for value in ["a", "b", "c"] {
        add(&streams, "s", value);
    }
    let options = ConsumeOptions::default().batch(2);
    let mut deliveries = streams.consume("s", "g", "c", options);
    assert_eq!(
        pending(&streams, "g"),
        [],
        "nothing starts before the first poll"
    );
    assert_eq!(
        values(&deliveries.next().await.unwrap().unwrap()),
        ["a", "b"]
    );
    assert_eq!(
        pending(&streams, "g").len(),
        2,
        "the next batch is not read ahead"
    );
    assert_eq!(values(&deliveries.next().await.unwrap().unwrap()), ["c"]);
    assert!(deliveries.next().now_or_never().is_none());
    drop(deliveries);
    add(&streams, "s", "d");
    assert_eq!(pending(&streams, "g").len(), 3);
}
