use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, advance};

use super::*;

fn entries(result: CacheResult<Reply>) -> Vec<Entry> {
    result.unwrap().into_entries().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_an_entry_lasts_its_time_limit() {
    let streams = MemoryStreams::new();
    streams.stream_create_group("s", "g", "$").await.unwrap();
    for ms in [1, 700, 3_000, 86_400_000] {
        let start = Instant::now();
        assert_eq!(
            streams.read_entries("s", "$", 1, Some(ms)).await.unwrap(),
            []
        );
        assert_eq!(start.elapsed(), Duration::from_millis(ms as u64));
        let start = Instant::now();
        assert_eq!(
            streams
                .read_group_entries("s", "g", "c", 1, Some(ms))
                .await
                .unwrap(),
            []
        );
        assert_eq!(start.elapsed(), Duration::from_millis(ms as u64));
    }
    assert_eq!(used(&streams)[2], 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_a_limit_ends_only_with_an_entry() {
    for ms in [0, u64::MAX] {
        let streams = MemoryStreams::new();
        let mut wait = pin!(start_wait(&streams, blocking_read("$", ms)));
        for _ in 0..100 {
            assert!(wait.as_mut().now_or_never().is_none());
            advance(Duration::from_secs(86_400)).await;
        }
        add(&streams, "s", "a");
        assert_eq!(values(&entries(now(wait))), ["a"]);
    }
}

#[test]
fn a_read_that_finds_entries_does_not_wait() {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", "0")).unwrap();
    add(&streams, "s", "a");
    assert_eq!(
        values(&now(streams.read_entries("s", "0", 0, Some(0))).unwrap()),
        ["a"]
    );
    let taken = now(streams.read_group_entries("s", "g", "c", 0, Some(0))).unwrap();
    assert_eq!(values(&taken), ["a"]);
}

#[test]
fn an_entry_ends_the_waits_of_all_readers() {
    let streams = MemoryStreams::new();
    let waits = ["0", "$", "5-5"].map(|id| start_wait(&streams, blocking_read(id, 0)));
    let id = add(&streams, "s", "a");
    for wait in waits {
        let Reply::Entries {
            entries, last_id, ..
        } = now(wait).unwrap()
        else {
            panic!("entries")
        };
        assert_eq!(entries, [Entry::new(id.clone(), one("a"))]);
        assert_eq!(last_id.as_deref(), Some(id.as_str()));
    }
    assert_eq!(used(&streams)[2], 0);
}

#[tokio::test(start_paused = true)]
async fn an_empty_reply_names_the_id_that_dollar_stands_for() {
    let streams = MemoryStreams::new();
    let id = add(&streams, "s", "a");
    let reply = start_wait(&streams, blocking_read("$", 5)).await.unwrap();
    assert_eq!(
        reply,
        Reply::Entries {
            entries: vec![],
            last_id: Some(id),
            more: false,
        }
    );
}

#[test]
fn a_reader_after_a_future_id_waits_for_greater_ids() {
    let streams = MemoryStreams::new();
    let far = start_wait(&streams, blocking_read("99999999999999", 0));
    add(&streams, "s", "a");
    assert!(far.now_or_never().is_none());
}

#[test]
fn an_entry_that_its_own_add_trims_ends_no_wait() {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    let reader = start_wait(&streams, blocking_read("$", 0));
    let consumer = start_wait(&streams, blocking_read_group("g", "c", 0));
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
    let waits =
        ["one", "two", "one"].map(|name| start_wait(&streams, blocking_read_group("g", name, 0)));
    let other = start_wait(&streams, blocking_read_group("h", "one", 0));
    for value in ["a", "b", "c", "d"] {
        add(&streams, "s", value);
    }
    let delivered: Vec<_> = waits.map(|wait| entries(now(wait))).concat();
    assert_eq!(values(&delivered), ["a", "b", "c"]);
    assert_eq!(
        values(&entries(now(other))),
        ["a"],
        "groups are independent"
    );
    let owners: Vec<_> = pending(&streams, "g")
        .into_iter()
        .map(|(_, owner)| owner)
        .collect();
    assert_eq!(owners, ["one", "two", "one"]);
    assert_eq!(values(&read_for(&streams, "g", "late", 0)), ["d"]);
}

#[test]
fn a_dropped_wait_gets_no_entry() {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", "$")).unwrap();
    let before = used(&streams);
    let first = start_wait(&streams, blocking_read_group("g", "first", 0));
    let second = start_wait(&streams, blocking_read_group("g", "second", 0));
    let reader = start_wait(&streams, blocking_read("$", 0));
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
        start_wait(&streams, blocking_read("$", 0)),
        start_wait(&streams, blocking_read("0", 0)),
    ];
    assert_eq!(streams.store.lock().streams.len(), 1);
    drop(waits);
    assert_eq!(streams.store.lock().streams.len(), 0);
    assert_eq!(used(&streams), [0, 0, 0]);
}

/// When the future is polled again, its time limit has passed and the entry has come. It returns
/// the entry, which is pending for this consumer already.
#[tokio::test(start_paused = true)]
async fn an_entry_that_comes_at_the_time_limit_is_not_lost() {
    let streams = MemoryStreams::new();
    streams.stream_create_group("s", "g", "$").await.unwrap();
    let mut wait = pin!(start_wait(&streams, blocking_read_group("g", "c", 10)));
    assert!(wait.as_mut().now_or_never().is_none());
    add(&streams, "s", "a");
    advance(Duration::from_millis(20)).await;
    assert_eq!(values(&entries(wait.await)), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_runs_from_perform_on() {
    let streams = MemoryStreams::new();
    let wait = start_wait(&streams, blocking_read("$", 100));
    advance(Duration::from_millis(60)).await;
    let start = Instant::now();
    assert_eq!(entries(wait.await), []);
    assert_eq!(start.elapsed(), Duration::from_millis(40));
}
