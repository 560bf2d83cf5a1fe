use streamgate_protocol::message::Subscription;
use streamgate_protocol::{Claimed, ConsumeOptions, PendingEntries, PendingQuery, Skipped};

use super::*;
use crate::budget::{PENDING_BYTES, named_bytes};
use streamgate_backend::perform_options::MAX_LISTED_CONSUMERS;
use streamgate_backend::reclaim::step::{ReclaimStep, START, STEP_ENTRIES};

/// Creates the group `g` of the stream `s`, in which `n` entries are pending for `ann`.
fn pending_for_ann(streams: &MemoryStreams, n: usize) -> Vec<String> {
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    let ids: Vec<_> = (0..n).map(|_| add(streams, "s", "a")).collect();
    assert_eq!(read_for(streams, "g", "ann", 0).len(), n);
    ids
}

fn claim(streams: &MemoryStreams, count: usize) -> CacheResult<Claimed> {
    now(streams.claim("s", "g", "bob", 0, "0-0", count))
}

fn remove(streams: &MemoryStreams, consumer: &str, new_owner: &str) -> CacheResult<u64> {
    now(streams.remove_consumer("s", "g", consumer, new_owner))
}

/// Returns the first step of the consumer `bob`, which reclaims whatever the idle time.
fn step(max_deliveries: Option<u64>) -> ReclaimStep {
    let mut options = ConsumeOptions::default().claim_after_ms(1);
    if let Some(most) = max_deliveries {
        options = options.dead_letter("dead", most);
    }
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
fn a_claim_names_deleted_entries_and_frees_their_bytes() {
    let streams = MemoryStreams::new();
    let ids = pending_for_ann(&streams, 3);
    trim(&streams);
    let claimed = claim(&streams, 2).unwrap();
    assert_eq!(claimed.entries, []);
    assert_eq!(claimed.deleted, ids[..2]);
    assert_eq!(claimed.cursor, ids[2]);
    assert_eq!(used(&streams)[1], named_bytes(b"ann") + PENDING_BYTES);
    assert_eq!(remove(&streams, "ann", "bob"), Ok(0), "one was deleted");
    assert_eq!(used(&streams)[1], 0);
}

#[test]
fn a_consumer_costs_its_name_until_it_is_removed() {
    let streams = MemoryStreams::new();
    pending_for_ann(&streams, 3);
    let records = 3 * PENDING_BYTES;
    assert_eq!(remove(&streams, "ann", "robert"), Ok(3));
    assert_eq!(used(&streams)[1], named_bytes(b"robert") + records);
    claim(&streams, 10).unwrap();
    let names = named_bytes(b"robert") + named_bytes(b"bob");
    assert_eq!(used(&streams)[1], names + records);
    assert_eq!(remove(&streams, "robert", "zoe"), Ok(0));
    assert_eq!(used(&streams)[1], named_bytes(b"bob") + records);
}

#[test]
fn a_consumer_without_room_for_its_name_gets_nothing() {
    let room = named_bytes(b"ann") + PENDING_BYTES;
    let streams = MemoryStreams::builder().pending_bytes(room).build();
    let ids = pending_for_ann(&streams, 1);
    let still_pending = vec![(ids[0].clone(), "ann".to_owned())];
    assert_eq!(code(claim(&streams, 1)), "OOM");
    assert_eq!(code(remove(&streams, "ann", "bob")), "OOM");
    assert_eq!(code(now(streams.reclaim(step(None)))), "OOM");
    assert_eq!(pending(&streams, "g"), still_pending);
    assert_eq!(used(&streams)[1], room);
}

#[test]
fn a_step_examines_one_page() {
    let streams = MemoryStreams::new();
    let ids = pending_for_ann(&streams, STEP_ENTRIES + 1);
    let first = now(streams.reclaim(step(None))).unwrap();
    assert_eq!(first.entries.len(), STEP_ENTRIES);
    assert_eq!(first.cursor, ids[STEP_ENTRIES - 1]);
    let mut next = step(None);
    (next.cursor, next.since_ms) = (first.cursor, Some(first.since_ms));
    let second = now(streams.reclaim(next)).unwrap();
    assert_eq!((second.entries.len(), &*second.cursor), (1, START));
}

#[test]
fn a_step_reclaims_at_most_its_count() {
    let streams = MemoryStreams::new();
    let ids = pending_for_ann(&streams, 5);
    let mut step = step(None);
    step.count = 2;
    let reclaimed = now(streams.reclaim(step)).unwrap();
    assert_eq!(
        (reclaimed.entries.len(), reclaimed.cursor),
        (2, ids[1].clone())
    );
}

#[test]
fn entries_delivered_to_the_consumer_since_are_left_alone() {
    let streams = MemoryStreams::new();
    pending_for_ann(&streams, 2);
    let first = now(streams.reclaim(step(None))).unwrap();
    assert_eq!(first.entries.len(), 2);
    let again = |since_ms| {
        let mut step = step(None);
        step.since_ms = Some(since_ms);
        step
    };
    let own = now(streams.reclaim(again(first.since_ms))).unwrap();
    assert_eq!(own.entries, []);
    let all = now(streams.reclaim(again(0))).unwrap();
    assert_eq!(
        all.entries,
        [],
        "0 leaves all of the consumer's entries alone"
    );
    let older = now(streams.reclaim(again(u64::MAX))).unwrap();
    assert_eq!(older.entries.len(), 2);
}

#[test]
fn a_dead_letter_without_room_stays_pending() {
    let streams = with_capacity(3_000);
    let ids = pending_for_ann(&streams, 1);
    let before = used(&streams);
    now(streams.stream_add("s", one(&"x".repeat(1_200)), None)).unwrap();
    assert_eq!(code(now(streams.reclaim(step(Some(1))))), "OOM");
    assert_eq!(pending(&streams, "g"), [(ids[0].clone(), "ann".to_owned())]);
    assert_eq!(used(&streams)[1], before[1]);
    assert_eq!(read_all(&streams, "dead"), []);
}

#[test]
fn dead_letters_state_the_source_of_their_policy_and_keep_its_bound() {
    let streams = MemoryStreams::new();
    pending_for_ann(&streams, 5);
    let mut step = step(Some(1));
    let policy = step.dead_letter.as_mut().unwrap();
    (policy.source, policy.maxlen) = (Some("shown".into()), Some(2));
    now(streams.reclaim(step)).unwrap();
    let dead = read_all(&streams, "dead");
    assert_eq!(dead.len(), 2);
    for letter in dead {
        assert_eq!(letter.get("dead-letter-stream").unwrap(), "shown");
    }
}

#[test]
fn reclaimed_entries_and_dead_letters_are_counted() {
    let streams = MemoryStreams::new();
    pending_for_ann(&streams, 3);
    now(streams.reclaim(step(None))).unwrap();
    let mut second = step(Some(1));
    second.since_ms = Some(u64::MAX);
    now(streams.reclaim(second)).unwrap();
    let counters = streams.counters().unwrap();
    assert_eq!(counters.reclaimed_entries.value(), 3);
    assert_eq!(counters.dead_letter_entries.value(), 3);
}

/// Adds entries with values of these sizes, which are pending for `ann`.
fn pending_of_sizes(streams: &MemoryStreams, sizes: &[usize]) -> Vec<String> {
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    let add = |bytes: &usize| add(streams, "s", &"x".repeat(*bytes));
    let ids: Vec<_> = sizes.iter().map(add).collect();
    assert_eq!(read_for(streams, "g", "ann", 0).len(), sizes.len());
    ids
}

/// The counts of deliveries of all pending entries, and their consumers.
fn deliveries(streams: &MemoryStreams) -> Vec<(String, u64)> {
    let all = now(streams.pending("s", "g", PendingQuery::default())).unwrap();
    let all = all.into_iter();
    all.map(|entry| (entry.consumer.into_text(), entry.deliveries))
        .collect()
}

#[test]
fn a_step_leaves_what_does_not_fit_to_the_next_and_counts_no_delivery_of_it() {
    let streams = MemoryStreams::new();
    let ids = pending_of_sizes(&streams, &[400, 400, 400, 5_000]);
    let mut step = step(None);
    step.max_bytes = 1_000;
    for expected in [&ids[..2], &ids[2..3], &ids[3..]] {
        let before = deliveries(&streams);
        let reclaimed = now(streams.reclaim(step.clone())).unwrap();
        let found: Vec<_> = reclaimed
            .entries
            .into_iter()
            .map(|entry| entry.id)
            .collect();
        assert_eq!(found, expected);
        let counted = deliveries(&streams);
        let changed = before.iter().zip(&counted).filter(|(b, c)| b != c).count();
        assert_eq!(changed, expected.len());
        step.cursor = reclaimed.cursor;
        step.since_ms = Some(reclaimed.since_ms);
    }
    assert_eq!(step.cursor, START);
}

#[test]
fn an_entry_that_is_too_large_is_skipped_and_its_neighbours_are_returned() {
    let streams = MemoryStreams::new();
    let ids = pending_of_sizes(&streams, &[10, 5_000, 10]);
    let mut step = step(None);
    step.max_entry_bytes = 1_000;
    let reclaimed = now(streams.reclaim(step)).unwrap();
    let found: Vec<_> = reclaimed.entries.iter().map(|entry| &entry.id).collect();
    assert_eq!(found, [&ids[0], &ids[2]]);
    let bytes = (ids[1].len() + "v".len() + 5_000) as u64;
    assert_eq!(reclaimed.skipped, [Skipped::new(&ids[1], bytes)]);
    let of_bob = |n| ("bob".to_owned(), n);
    assert_eq!(deliveries(&streams), [of_bob(2), of_bob(1), of_bob(2)]);
}

#[test]
fn the_consumers_of_a_group_are_listed_up_to_a_bound() {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", "0")).unwrap();
    for n in 0..MAX_LISTED_CONSUMERS {
        add(&streams, "s", "a");
        read_for(&streams, "g", &n.to_string(), 1);
    }
    let listed = now(streams.consumers("s", "g")).unwrap();
    assert_eq!(listed.len(), MAX_LISTED_CONSUMERS);
    let summary = now(streams.pending_summary("s", "g")).unwrap();
    assert_eq!(summary.consumers.len(), MAX_LISTED_CONSUMERS);
    add(&streams, "s", "a");
    read_for(&streams, "g", "one more", 1);
    assert_eq!(code(now(streams.consumers("s", "g"))), "LIMIT");
    assert_eq!(code(now(streams.pending_summary("s", "g"))), "LIMIT");
}
