//! The operations and their limits, rule by rule.

mod bounds;
mod groups;
mod pending;
mod streams;
mod stress;
mod tails;
mod waits;

use std::future::Future;

use futures_util::FutureExt;
use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_protocol::{
    CacheResult, Entry, EntryOperations, Operation, Reply, StreamingBackend,
};

use crate::memory_streams::MemoryStreams;

/// Returns the output of a future that is ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the future is pending")
}

fn with_capacity(bytes: usize) -> MemoryStreams {
    MemoryStreams::builder().capacity_bytes(bytes).build()
}

/// Adds an entry with one field, `v`, and returns its id.
fn add(streams: &MemoryStreams, key: &str, value: &str) -> String {
    now(streams.stream_add(key, one(value), None)).unwrap()
}

/// Returns the fields of an entry with one field, `v`.
fn one(value: &str) -> Vec<(String, String)> {
    vec![("v".to_owned(), value.to_owned())]
}

/// Returns the values of entries that [`add`] made.
fn values(entries: &[Entry]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry.fields[0].1.as_text().expect("it is text"))
        .collect()
}

fn code<T: std::fmt::Debug>(result: CacheResult<T>) -> String {
    result.expect_err("it succeeded").code().to_owned()
}

/// Reads from the beginning without waiting.
fn read_all(streams: &MemoryStreams, key: &str) -> Vec<Entry> {
    now(streams.read_entries(key, "0", 0, None)).unwrap()
}

/// Reads entries of a group for a consumer without waiting.
fn read_for(streams: &MemoryStreams, group: &str, consumer: &str, count: usize) -> Vec<Entry> {
    now(streams.read_group_entries("s", group, consumer, count, None)).unwrap()
}

/// Returns the pending entries of a group of the stream `s`, and their consumers.
fn pending(streams: &MemoryStreams, group: &str) -> Vec<(String, String)> {
    let store = streams.store.lock();
    let pending = store.streams[&b"s"[..]].groups[group.as_bytes()].pending();
    pending
        .iter()
        .map(|(id, record)| {
            (
                id.to_string(),
                String::from_utf8_lossy(&record.consumer).into_owned(),
            )
        })
        .collect()
}

/// Returns the bytes in use: for streams, for pending entries and for waiting calls.
fn used(streams: &MemoryStreams) -> [usize; 3] {
    let store = streams.store.lock();
    [
        store.stored.used(),
        store.pending.used(),
        store.waiting.used(),
    ]
}

/// Starts an operation that waits, and returns its future.
fn start_wait<'a>(
    streams: &'a MemoryStreams,
    operation: Operation<'_>,
) -> impl Future<Output = CacheResult<Reply>> + use<'a> {
    let progress = now(streams.perform(vec![operation], PerformOptions::default()))
        .pop()
        .expect("one progress for one operation");
    match progress {
        Progress::Waiting { future, .. } => future,
        other => panic!("the operation does not wait: {other:?}"),
    }
}

fn blocking_read<'a>(last_id: &'a str, block_ms: u64) -> Operation<'a> {
    let (stream, last_id) = ("s".into(), last_id.into());
    Operation::Read {
        stream,
        last_id,
        count: 0,
        block_ms: Some(block_ms),
    }
}

fn blocking_read_group<'a>(group: &'a str, consumer: &'a str, block_ms: u64) -> Operation<'a> {
    let (stream, group, consumer) = ("s".into(), group.into(), consumer.into());
    Operation::ReadGroup {
        stream,
        group,
        consumer,
        count: 0,
        block_ms: Some(block_ms),
    }
}

fn done(progress: Progress<'_>) -> CacheResult<Reply> {
    match progress {
        Progress::Done(result) => result,
        other => panic!("the operation is not done: {other:?}"),
    }
}
