use streamgate_protocol::message::Subscription;
use streamgate_protocol::{Claimed, ConsumeOptions, ConsumerGroups};

use super::*;
use crate::MAX_WAITING_BYTES;
use crate::budget::{PENDING_BYTES, named_bytes};
use crate::store::Engine;
use streamgate_backend::reclaim::step::{PAGE, ReclaimStep, START};

/// A group `g` of the stream `s`, of which `ann` holds so many entries.
fn held_by_ann(streams: &MemoryStreams, n: usize) -> Vec<String> {
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    let ids: Vec<_> = (0..n).map(|_| add(streams, "s", "a")).collect();
    assert_eq!(take(streams, "g", "ann", 0).len(), n);
    ids
}

fn claim(streams: &MemoryStreams, count: usize) -> CacheResult<Claimed> {
    now(streams.claim("s", "g", "bob", 0, "0-0", count))
}

fn remove(streams: &MemoryStreams, consumer: &str, heir: &str) -> CacheResult<u64> {
    now(streams.remove_consumer("s", "g", consumer, heir))
}

/// The first step of a consumer that takes over what is idle for a millisecond.
fn step(max_deliveries: Option<u64>) -> ReclaimStep {
    let options = ConsumeOptions {
        claim_after_ms: Some(1),
        max_deliveries,
        dead_letter: max_deliveries.map(|_| "dead".to_owned()),
        ..ConsumeOptions::default()
    };
    let mut step = ReclaimStep::first(&Subscription::consume("s", "g", "bob", options)).unwrap();
    step.min_idle_ms = 0;
    step.count = 1_000;
    step
}

/// Trims everything.
fn trim(streams: &MemoryStreams) {
    now(streams.stream_add("s", one("last"), Some(0))).unwrap();
}

#[test]
fn deleted_entries_are_named_and_given_back() {
    let streams = MemoryStreams::new();
    let ids = held_by_ann(&streams, 3);
    trim(&streams);
    let claimed = claim(&streams, 2).unwrap();
    assert_eq!(claimed.entries, []);
    assert_eq!(claimed.deleted, ids[..2]);
    assert_eq!(claimed.cursor, ids[2]);
    assert_eq!(used(&streams)[1], named_bytes("ann") + PENDING_BYTES);
    assert_eq!(remove(&streams, "ann", "bob"), Ok(0), "one was deleted");
    assert_eq!(used(&streams)[1], 0);
}

#[test]
fn a_consumer_costs_what_it_is_until_it_is_removed() {
    let streams = MemoryStreams::new();
    held_by_ann(&streams, 3);
    let records = 3 * PENDING_BYTES;
    assert_eq!(remove(&streams, "ann", "robert"), Ok(3));
    assert_eq!(used(&streams)[1], named_bytes("robert") + records);
    claim(&streams, 10).unwrap();
    let names = named_bytes("robert") + named_bytes("bob");
    assert_eq!(used(&streams)[1], names + records);
    assert_eq!(remove(&streams, "robert", "zoe"), Ok(0));
    assert_eq!(used(&streams)[1], named_bytes("bob") + records);
}

#[test]
fn a_consumer_for_which_there_is_no_room_is_given_nothing() {
    let room = named_bytes("ann") + PENDING_BYTES;
    let engine = Engine::new(usize::MAX, room, MAX_WAITING_BYTES);
    let streams = MemoryStreams::with_engine(engine);
    let ids = held_by_ann(&streams, 1);
    let held = vec![(ids[0].clone(), "ann".to_owned())];
    assert_eq!(code(claim(&streams, 1)), "OOM");
    assert_eq!(code(remove(&streams, "ann", "bob")), "OOM");
    assert_eq!(code(now(streams.reclaim(step(None)))), "OOM");
    assert_eq!(pending(&streams, "g"), held);
    assert_eq!(used(&streams)[1], room);
}

#[test]
fn a_step_looks_at_one_page() {
    let streams = MemoryStreams::new();
    let ids = held_by_ann(&streams, PAGE + 1);
    let first = now(streams.reclaim(step(None))).unwrap();
    assert_eq!(first.entries.len(), PAGE);
    assert_eq!(first.cursor, ids[PAGE - 1]);
    let next = ReclaimStep {
        cursor: first.cursor,
        since_ms: Some(first.since_ms),
        ..step(None)
    };
    let second = now(streams.reclaim(next)).unwrap();
    assert_eq!((second.entries.len(), &*second.cursor), (1, START));
}

#[test]
fn a_step_takes_no_more_than_was_asked() {
    let streams = MemoryStreams::new();
    let ids = held_by_ann(&streams, 5);
    let asked = ReclaimStep {
        count: 2,
        ..step(None)
    };
    let taken = now(streams.reclaim(asked)).unwrap();
    assert_eq!((taken.entries.len(), taken.cursor), (2, ids[1].clone()));
}

#[test]
fn what_the_consumer_was_given_since_is_its_own() {
    let streams = MemoryStreams::new();
    held_by_ann(&streams, 2);
    let first = now(streams.reclaim(step(None))).unwrap();
    assert_eq!(first.entries.len(), 2);
    let again = |since_ms| ReclaimStep {
        since_ms: Some(since_ms),
        ..step(None)
    };
    let own = now(streams.reclaim(again(first.since_ms))).unwrap();
    assert_eq!(own.entries, []);
    let all = now(streams.reclaim(again(0))).unwrap();
    assert_eq!(all.entries, [], "whenever that was");
    let older = now(streams.reclaim(again(u64::MAX))).unwrap();
    assert_eq!(older.entries.len(), 2);
}

#[test]
fn a_dead_letter_for_which_there_is_no_room_stays_pending() {
    let streams = MemoryStreams::with_capacity_bytes(3_000);
    let ids = held_by_ann(&streams, 1);
    let before = used(&streams);
    now(streams.stream_add("s", one(&"x".repeat(1_200)), None)).unwrap();
    assert_eq!(code(now(streams.reclaim(step(Some(1))))), "OOM");
    assert_eq!(pending(&streams, "g"), [(ids[0].clone(), "ann".to_owned())]);
    assert_eq!(used(&streams)[1], before[1]);
    assert_eq!(read_all(&streams, "dead"), []);
}
