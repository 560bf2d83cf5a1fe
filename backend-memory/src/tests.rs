//! What each operation means, rule by rule.

pub(crate) mod bounds;
pub(crate) mod groups;
pub(crate) mod pending;
pub(crate) mod streams;
pub(crate) mod stress;
pub(crate) mod tails;
pub(crate) mod waits;

use std::future::Future;

use futures_util::FutureExt;
use streamgate_protocol::error::CacheError;
use streamgate_protocol::{CacheResult, Operation, Reply, StreamEntry, StreamingBackend};

use crate::memory_streams::MemoryStreams;
use streamgate_backend::{Backend, Progress};

/// The result of something that does not wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it waits")
}

/// Adds an entry with one field, `v`, and returns its id.
fn add(streams: &MemoryStreams, key: &str, value: &str) -> String {
    now(streams.stream_add(key, one(value), None)).unwrap()
}

fn one(value: &str) -> Vec<(String, String)> {
    vec![("v".to_owned(), value.to_owned())]
}

/// The values of entries that [`add`] made.
fn values(entries: &[StreamEntry]) -> Vec<&str> {
    entries
        .iter()
        .map(|(_, fields)| fields[0].1.as_str())
        .collect()
}

fn code<T: std::fmt::Debug>(result: CacheResult<T>) -> String {
    result.expect_err("it succeeds").code().to_owned()
}

/// Reads from the beginning without waiting.
fn read_all(streams: &MemoryStreams, key: &str) -> Vec<StreamEntry> {
    now(streams.stream_read(key, "0", 0, None)).unwrap()
}

/// Takes entries for a consumer without waiting.
fn take(streams: &MemoryStreams, group: &str, consumer: &str, count: usize) -> Vec<StreamEntry> {
    now(streams.stream_read_group("s", group, consumer, count, None)).unwrap()
}

/// What is pending in a group of the stream `s`, and for whom.
fn pending(streams: &MemoryStreams, group: &str) -> Vec<(String, String)> {
    let engine = crate::memory_streams::lock(&streams.engine);
    let pending = &engine.streams["s"].groups[group].pending;
    pending
        .iter()
        .map(|(id, record)| (id.to_string(), record.consumer.to_string()))
        .collect()
}

/// How many bytes are counted: of streams, of what is pending and of waiting calls.
fn used(streams: &MemoryStreams) -> [usize; 3] {
    let engine = crate::memory_streams::lock(&streams.engine);
    [
        engine.stored.used(),
        engine.pending.used(),
        engine.waiting.used(),
    ]
}

/// The operation's future, which waits.
fn waiting<'a>(
    streams: &'a MemoryStreams,
    operation: Operation<'_>,
) -> impl Future<Output = CacheResult<Reply>> + use<'a> {
    let progress = now(streams.perform(vec![operation]))
        .pop()
        .expect("one for one");
    match progress {
        Progress::Waiting { future, .. } => future,
        Progress::Done(result) => panic!("it does not wait: {result:?}"),
    }
}

fn read<'a>(last_id: &'a str, block_ms: u64) -> Operation<'a> {
    let (stream, last_id) = ("s".into(), last_id.into());
    Operation::Read {
        stream,
        last_id,
        count: 0,
        block_ms: Some(block_ms),
    }
}

fn read_group<'a>(group: &'a str, consumer: &'a str, block_ms: u64) -> Operation<'a> {
    let (stream, group, consumer) = ("s".into(), group.into(), consumer.into());
    Operation::ReadGroup {
        stream,
        group,
        consumer,
        count: 0,
        block_ms: Some(block_ms),
    }
}

fn done(progress: Progress<'_>) -> Result<Reply, CacheError> {
    match progress {
        Progress::Done(result) => result,
        Progress::Waiting { .. } => panic!("it waits"),
    }
}
