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
