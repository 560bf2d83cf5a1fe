use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, advance};

use super::*;

fn entries(result: CacheResult<Reply>) -> Vec<StreamEntry> {
    result.unwrap().into_entries().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_empty_lasts_as_long_as_asked() {
    let streams = MemoryStreams::new();
    streams.stream_create_group("s", "g", "$").await.unwrap();
    for ms in [1, 700, 3_000, 86_400_000] {
        let start = Instant::now();
        assert_eq!(
            streams.stream_read("s", "$", 1, Some(ms)).await.unwrap(),
            []
        );
        assert_eq!(start.elapsed(), Duration::from_millis(ms as u64));
        let start = Instant::now();
        assert_eq!(
            streams
                .stream_read_group("s", "g", "c", 1, Some(ms))
                .await
                .unwrap(),
            []
        );
        assert_eq!(start.elapsed(), Duration::from_millis(ms as u64));
    }
    assert_eq!(used(&streams)[2], 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_a_limit_ends_with_an_entry_only() {
    for ms in [0, u64::MAX] {
        let streams = MemoryStreams::new();
        let mut wait = pin!(waiting(&streams, read("$", ms)));
        for _ in 0..100 {
            assert!(wait.as_mut().now_or_never().is_none());
            advance(Duration::from_secs(86_400)).await;
        }
        add(&streams, "s", "a");
        assert_eq!(values(&entries(now(wait))), ["a"]);
    }
}

#[test]
fn what_is_there_does_not_wait() {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", "0")).unwrap();
    add(&streams, "s", "a");
    assert_eq!(
        values(&now(streams.stream_read("s", "0", 0, Some(0))).unwrap()),
        ["a"]
    );
    let taken = now(streams.stream_read_group("s", "g", "c", 0, Some(0))).unwrap();
    assert_eq!(values(&taken), ["a"]);
}

#[test]
fn an_entry_answers_every_reader_at_once() {
    let streams = MemoryStreams::new();
    let waits = ["0", "$", "5-5"].map(|id| waiting(&streams, read(id, 0)));
    let id = add(&streams, "s", "a");
    for wait in waits {
        let Reply::Entries { entries, last_id } = now(wait).unwrap() else {
            panic!("entries")
        };
        assert_eq!(entries, [(id.clone(), one("a"))]);
        assert_eq!(last_id.as_deref(), Some(id.as_str()));
    }
    assert_eq!(used(&streams)[2], 0);
}

#[tokio::test(start_paused = true)]
async fn an_empty_wait_from_the_end_resolves_it() {
    let streams = MemoryStreams::new();
    let id = add(&streams, "s", "a");
    let reply = waiting(&streams, read("$", 5)).await.unwrap();
    assert_eq!(
        reply,
        Reply::Entries {
            entries: vec![],
            last_id: Some(id)
        }
    );
}

#[test]
fn a_reader_beyond_the_end_waits_for_ids_beyond_its_own() {
    let streams = MemoryStreams::new();
    let far = waiting(&streams, read("99999999999999", 0));
    add(&streams, "s", "a");
    assert!(far.now_or_never().is_none());
}

#[test]
fn an_entry_that_is_trimmed_at_once_answers_nobody() {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    let reader = waiting(&streams, read("$", 0));
    let consumer = waiting(&streams, read_group("g", "c", 0));
    now(streams.stream_add("s", one("gone"), Some(0))).unwrap();
    add(&streams, "s", "a");
    assert_eq!(values(&entries(now(reader))), ["a"]);
    assert_eq!(values(&entries(now(consumer))), ["a"]);
}

#[test]
fn consumers_are_served_in_the_order_they_came() {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    now(streams.stream_create_group("s", "h", "$")).unwrap();
    let waits = ["one", "two", "one"].map(|name| waiting(&streams, read_group("g", name, 0)));
    let other = waiting(&streams, read_group("h", "one", 0));
    for value in ["a", "b", "c", "d"] {
        add(&streams, "s", value);
    }
    let given: Vec<_> = waits.map(|wait| entries(now(wait))).concat();
    assert_eq!(values(&given), ["a", "b", "c"]);
    assert_eq!(
        values(&entries(now(other))),
        ["a"],
        "groups do not see each other"
    );
    let owners: Vec<_> = pending(&streams, "g")
        .into_iter()
        .map(|(_, owner)| owner)
        .collect();
    assert_eq!(owners, ["one", "two", "one"]);
    assert_eq!(values(&take(&streams, "g", "late", 0)), ["d"]);
}

#[test]
fn a_dropped_wait_is_given_nothing() {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    let before = used(&streams);
    let first = waiting(&streams, read_group("g", "first", 0));
    let second = waiting(&streams, read_group("g", "second", 0));
    let reader = waiting(&streams, read("$", 0));
    drop((first, reader));
    add(&streams, "s", "a");
    assert_eq!(values(&entries(now(second))), ["a"]);
    assert_eq!(pending(&streams, "g")[0].1, "second");
    assert_eq!(used(&streams)[2], before[2]);
}

#[test]
fn a_wait_leaves_no_trace_of_a_missing_stream() {
    let streams = MemoryStreams::new();
    let waits = [
        waiting(&streams, read("$", 0)),
        waiting(&streams, read("0", 0)),
    ];
    assert_eq!(
        crate::memory_streams::lock(&streams.engine).streams.len(),
        1
    );
    drop(waits);
    assert_eq!(
        crate::memory_streams::lock(&streams.engine).streams.len(),
        0
    );
    assert_eq!(used(&streams), [0, 0, 0]);
}

/// The time is over and the entry is there when the future is polled again: the entry counts,
/// because it is pending for this consumer already.
#[tokio::test(start_paused = true)]
async fn an_entry_in_the_last_moment_is_not_lost() {
    let streams = MemoryStreams::new();
    streams.stream_create_group("s", "g", "$").await.unwrap();
    let mut wait = pin!(waiting(&streams, read_group("g", "c", 10)));
    assert!(wait.as_mut().now_or_never().is_none());
    add(&streams, "s", "a");
    advance(Duration::from_millis(20)).await;
    assert_eq!(values(&entries(wait.await)), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_begins_when_it_is_asked_for() {
    let streams = MemoryStreams::new();
    let wait = waiting(&streams, read("$", 100));
    advance(Duration::from_millis(60)).await;
    let start = Instant::now();
    assert_eq!(entries(wait.await), []);
    assert_eq!(start.elapsed(), Duration::from_millis(40));
}
