use std::task::{Context, Waker};

use streamgate_backend::memory_budget::{MemoryBudget, MemoryKind};

use super::*;
use crate::budget::{PENDING_BYTES, entry_bytes, named_bytes, waiting_bytes};

const PLENTY: usize = 1 << 20;

fn bounded(stored: usize, pending: usize, waiting: usize) -> MemoryStreams {
    MemoryStreams::builder()
        .capacity_bytes(stored)
        .pending_bytes(pending)
        .waiting_bytes(waiting)
        .build()
}

#[test]
fn entries_beyond_the_capacity_are_refused() {
    let room = named_bytes(b"s") + 2 * entry_bytes(&one("a"));
    let streams = with_capacity(room);
    add(&streams, "s", "a");
    add(&streams, "s", "b");
    assert_eq!(used(&streams), [room, 0, 0]);
    assert_eq!(code(now(streams.stream_add("s", one("c"), None))), "OOM");
    assert_eq!(
        code(now(streams.stream_add("other", one("c"), None))),
        "OOM"
    );
    assert_eq!(code(now(streams.stream_create_group("s", "g", "$"))), "OOM");
    assert_eq!(values(&read_all(&streams, "s")), ["a", "b"]);
    assert_eq!(used(&streams), [room, 0, 0]);
    assert_eq!(streams.store.lock().streams.len(), 1);
}

#[test]
fn trimming_makes_room_for_the_same_add() {
    let room = named_bytes(b"s") + 2 * entry_bytes(&one("a"));
    let streams = with_capacity(room);
    add(&streams, "s", "a");
    add(&streams, "s", "b");
    now(streams.stream_add("s", one("c"), Some(2))).unwrap();
    assert_eq!(values(&read_all(&streams, "s")), ["b", "c"]);
    let big = one(&"d".repeat(room));
    assert_eq!(
        code(now(streams.stream_add("s", big.clone(), Some(1)))),
        "OOM"
    );
    assert_eq!(
        values(&read_all(&streams, "s")),
        ["b", "c"],
        "a refused add trims nothing"
    );
    now(streams.stream_add("s", big, Some(0))).unwrap();
    assert_eq!(used(&streams), [named_bytes(b"s"), 0, 0]);
}

#[test]
fn spare_capacity_of_a_string_is_not_kept() {
    let streams = MemoryStreams::new();
    let mut value = String::with_capacity(1 << 20);
    value.push('x');
    now(streams.stream_add("s", vec![("v".to_owned(), value)], None)).unwrap();
    assert_eq!(
        used(&streams)[0],
        named_bytes(b"s") + entry_bytes(&one("x"))
    );
}

#[test]
fn pending_entries_beyond_the_bound_are_not_delivered() {
    let streams = bounded(PLENTY, named_bytes(b"c") + 2 * PENDING_BYTES, PLENTY);
    now(streams.stream_create_group("s", "g", "0")).unwrap();
    let ids: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|value| add(&streams, "s", value))
        .collect();
    let read = |consumer, count| now(streams.read_group_entries("s", "g", consumer, count, None));
    assert_eq!(code(read("c", 0)), "OOM");
    assert_eq!(pending(&streams, "g"), []);
    assert_eq!(used(&streams)[1], 0);
    assert_eq!(values(&read("c", 2).unwrap()), ["a", "b"]);
    assert_eq!(code(read("c", 1)), "OOM");
    assert_eq!(code(read("d", 1)), "OOM", "a consumer's name counts too");
    now(streams.stream_ack("s", "g", &ids[..1])).unwrap();
    assert_eq!(values(&read("c", 1).unwrap()), ["c"]);
}

#[test]
fn a_waiting_consumer_has_room_for_its_pending_entry() {
    let streams = bounded(PLENTY, named_bytes(b"c") + PENDING_BYTES, PLENTY);
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    let wait = start_wait(&streams, blocking_read_group("g", "c", 0));
    assert_eq!(
        code(now(streams.read_group_entries("s", "g", "c", 0, Some(0)))),
        "OOM"
    );
    add(&streams, "s", "a");
    assert_eq!(values(&now(wait).unwrap().into_entries().unwrap()), ["a"]);
    assert_eq!(pending(&streams, "g").len(), 1);
    assert_eq!(used(&streams)[1], named_bytes(b"c") + PENDING_BYTES);
}

#[test]
fn waiting_calls_beyond_the_bound_are_refused() {
    let streams = bounded(
        PLENTY,
        PLENTY,
        waiting_bytes(b"s", b"") + waiting_bytes(b"s", b"g"),
    );
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    let reader = start_wait(&streams, blocking_read("$", 0));
    let consumer = start_wait(&streams, blocking_read_group("g", "c", 0));
    let before = used(&streams);
    assert_eq!(
        code(now(streams.read_entries("s", "$", 0, Some(0)))),
        "OVERLOADED"
    );
    assert_eq!(
        code(now(streams.read_entries("other", "$", 0, Some(0)))),
        "OVERLOADED"
    );
    assert_eq!(
        code(now(streams.read_group_entries("s", "g", "d", 0, Some(0)))),
        "OVERLOADED"
    );
    assert_eq!(used(&streams), before, "nothing was changed");
    assert_eq!(
        now(streams.read_entries("s", "$", 0, None)).unwrap(),
        [],
        "calls that do not wait succeed"
    );
    drop(reader);
    drop(start_wait(&streams, blocking_read("$", 0)));
    drop(consumer);
    drop(start_wait(&streams, blocking_read_group("g", "c", 0)));
    assert_eq!(used(&streams)[2], 0);
    assert_eq!(
        used(&streams)[1],
        named_bytes(b"c"),
        "no room for a pending entry stays reserved"
    );
}

const TEN_MINUTES_MS: u64 = 600_000;

/// Performs an operation at a time.
fn perform_at(
    streams: &MemoryStreams,
    operation: Operation<'_>,
    now_ms: u64,
) -> CacheResult<crate::answer::Outcome> {
    streams.store.lock().perform(operation, u64::MAX, now_ms)
}

fn create_group_at(streams: &MemoryStreams, stream: &str, now_ms: u64) -> CacheResult<()> {
    let operation = Operation::CreateGroup {
        stream: stream.into(),
        group: "g".into(),
        id: "$".into(),
    };
    perform_at(streams, operation, now_ms).map(drop)
}

fn read_group_at(streams: &MemoryStreams, stream: &str, now_ms: u64) -> CacheResult<()> {
    let operation = Operation::ReadGroup {
        stream: stream.into(),
        group: "g".into(),
        consumer: "c".into(),
        count: 1,
        block_ms: None,
    };
    perform_at(streams, operation, now_ms).map(drop)
}

#[test]
fn idle_empty_streams_go_when_there_is_no_room() {
    const STREAMS: u64 = 1_000;
    let room = (STREAMS as usize) * (named_bytes(b"0000") + named_bytes(b"g"));
    let streams = with_capacity(room);
    let name = |n: u64| format!("{n:04}");
    let start = 1_000_000;
    for n in 0..STREAMS {
        create_group_at(&streams, &name(n), start + n).unwrap();
    }
    let full = create_group_at(&streams, "more", start + STREAMS).unwrap_err();
    assert_eq!(full.code(), "OOM");
    assert!(full.message().contains(&room.to_string()), "{full}");
    // One group is used, one has a waiting consumer, and one a tail that waits for the first entry.
    read_group_at(&streams, "0000", start + TEN_MINUTES_MS).unwrap();
    let wait = Operation::ReadGroup {
        stream: "0001".into(),
        group: "g".into(),
        consumer: "c".into(),
        count: 1,
        block_ms: Some(0),
    };
    let _wait = start_wait(&streams, wait);
    let mut tail = streams.tail_source("0002".into(), streamgate_protocol::TailFrom::Now);
    let credit = streamgate_protocol::message::Credit::UNLIMITED;
    let mut cx = Context::from_waker(Waker::noop());
    while tail.poll_next(&mut cx, credit).is_ready() {}

    create_group_at(&streams, "more", start + TEN_MINUTES_MS + 10).unwrap();
    let left = streams.store.lock().streams.len() as u64;
    assert_eq!(left, STREAMS - 11 + 3 + 1, "those that were idle are gone");
    for used in ["0000", "0001", "0002", "0011", "more"] {
        read_group_at(&streams, used, start + TEN_MINUTES_MS + 11).unwrap();
    }
    let gone = read_group_at(&streams, "0003", start + TEN_MINUTES_MS + 11).unwrap_err();
    assert_eq!(gone.code(), "NOGROUP");
}

#[test]
fn a_stream_with_entries_or_pending_ones_never_goes() {
    let room = 2 * (named_bytes(b"s") + named_bytes(b"g")) + 2 * entry_bytes(&one("a"));
    let streams = with_capacity(room);
    for stream in ["s", "t"] {
        create_group_at(&streams, stream, 1).unwrap();
        add(&streams, stream, "a");
    }
    let read = now(streams.read_group_entries("t", "g", "c", 1, None));
    assert_eq!(values(&read.unwrap()), ["a"]);
    // Its entry is trimmed, and stays pending.
    now(streams.stream_add("t", one("b"), Some(0))).unwrap();
    let later = u64::MAX / 2;
    let refused = create_group_at(&streams, &"u".repeat(2_000), later);
    assert_eq!(code(refused), "OOM");
    assert_eq!(streams.store.lock().streams.len(), 2);
}

#[test]
fn dropped_streams_give_their_bytes_back() {
    let streams = with_capacity(named_bytes(b"s") + named_bytes(b"g"));
    create_group_at(&streams, "s", 1).unwrap();
    read_group_at(&streams, "s", 1).unwrap();
    create_group_at(&streams, "t", 1 + TEN_MINUTES_MS).unwrap();
    assert_eq!(
        used(&streams),
        [named_bytes(b"t") + named_bytes(b"g"), 0, 0]
    );
}

fn read_with<'a>(
    streams: &'a MemoryStreams,
    operation: Operation<'_>,
    max_bytes: usize,
) -> Progress<'a> {
    let limits = PerformOptions::new(max_bytes);
    now(streams.perform(vec![operation], limits)).remove(0)
}

#[test]
fn a_reply_has_no_more_than_may_be_sent() {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", "0")).unwrap();
    for _ in 0..100 {
        add(&streams, "s", &"v".repeat(10_000));
    }
    let read = Operation::Read {
        stream: "s".into(),
        last_id: "0".into(),
        count: 0,
        block_ms: None,
    };
    let latest = Operation::ReadLatest {
        stream: "s".into(),
        count: 1_000_000_000_000_000,
    };
    let group_read = Operation::ReadGroup {
        stream: "s".into(),
        group: "g".into(),
        consumer: "c".into(),
        count: 0,
        block_ms: None,
    };
    let claim = Operation::Claim {
        stream: "s".into(),
        group: "g".into(),
        consumer: "d".into(),
        min_idle_ms: 0,
        start: "0-0".into(),
        count: 100,
    };
    for operation in [read, latest, group_read] {
        let reply = done(read_with(&streams, operation.clone(), 101_000)).unwrap();
        assert_eq!(reply.into_entries().unwrap().len(), 10);
        let reply = done(read_with(&streams, operation, 10)).unwrap();
        assert_eq!(reply.into_entries().unwrap().len(), 1, "at least one");
    }
    assert_eq!(pending(&streams, "g").len(), 11);
    let claimed = done(read_with(&streams, claim, 50_500)).unwrap();
    assert_eq!(claimed.into_claimed().unwrap().entries.len(), 5);
}

#[test]
fn large_replies_reserve_their_room_and_small_ones_do_not_wait() {
    const MIB: usize = 1 << 20;
    let budget = MemoryBudget::new(4 * MIB);
    let streams = MemoryStreams::builder()
        .memory_budget(budget.clone())
        .build();
    for _ in 0..8 {
        add(&streams, "s", &"v".repeat(MIB / 4));
    }
    add(&streams, "small", "v");
    let read = |stream: &'static str| {
        let operation = Operation::ReadLatest {
            stream: stream.into(),
            count: 100,
        };
        read_with(&streams, operation, 16 * MIB)
    };
    let held = budget.try_reserve(MemoryKind::Outgoing, 3 * MIB).unwrap();
    let large = read("s");
    assert!(matches!(large, Progress::Continuing { .. }), "{large:?}");
    let mut large = Box::pin(large.finish());
    assert!((&mut large).now_or_never().is_none(), "there is no room");
    assert_eq!(
        done(read("small")).unwrap().into_entries().unwrap().len(),
        1
    );
    drop(held);
    assert_eq!(now(large).unwrap().into_entries().unwrap().len(), 8);
    assert_eq!(budget.used_bytes(), 0);
}
