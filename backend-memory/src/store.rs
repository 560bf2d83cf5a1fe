//! All streams in memory, and the operations on them, one at a time under one lock.

mod add;
mod claim;
mod groups;
mod idempotent_add;
mod idle_streams;
mod pending;
mod perform;
mod read;
mod reclaim;
pub(crate) mod tails;
mod waiters;

use std::collections::HashMap;

use streamgate_protocol::{ByteString, CacheResult};

use crate::budget::{Budget, named_bytes};
use crate::dedup_window::DedupWindows;
use crate::errors;
use crate::group::Group;
use crate::stream::Stream;

/// All streams. No method waits. A method that fails has changed nothing.
pub(crate) struct Store {
    pub(crate) streams: HashMap<ByteString, Stream>,
    /// Bytes of streams, groups and entries.
    pub(crate) stored: Budget,
    /// Bytes of consumers and pending entries, also of those reserved for waiting consumers.
    pub(crate) pending: Budget,
    /// Bytes of waiting calls and of tails.
    pub(crate) waiting: Budget,
    /// Bytes of batches that are kept for tails.
    pub(crate) shared: Budget,
    dedup_windows: DedupWindows,
    /// Before this time, in ms since 1970, no stream is known to be idle for long enough to drop.
    next_idle_ms: u64,
    /// The number of the last waiting call or tail. Waiting calls are served in this order.
    last_number: u64,
}

/// The capacities of a store, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Capacity {
    pub(crate) stored: usize,
    pub(crate) pending: usize,
    pub(crate) waiting: usize,
    pub(crate) shared: usize,
}

impl Store {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            streams: HashMap::new(),
            stored: Budget::new(capacity.stored),
            pending: Budget::new(capacity.pending),
            waiting: Budget::new(capacity.waiting),
            shared: Budget::new(capacity.shared),
            dedup_windows: DedupWindows::default(),
            next_idle_ms: 0,
            last_number: 0,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn group(&self, key: &[u8], name: &[u8]) -> CacheResult<(&Stream, &Group)> {
        let stream = self.streams.get(key);
        stream
            .and_then(|stream| Some((stream, stream.groups.get(name)?)))
            .ok_or_else(|| errors::no_group(key, name))
    }

    fn group_mut(&mut self, key: &[u8], name: &[u8]) -> CacheResult<&mut Group> {
        let stream = self.streams.get_mut(key);
        stream
            .and_then(|stream| stream.groups.get_mut(name))
            .ok_or_else(|| errors::no_group(key, name))
    }

    /// Bytes that the stream itself will cost if it is not stored yet.
    fn bytes_if_new(&self, key: &[u8]) -> usize {
        let is_new = self.streams.get(key).is_none_or(Stream::is_blank);
        if is_new { named_bytes(key) } else { 0 }
    }
}

/// Returns the limit that a count stands for: 0 is none.
pub(crate) fn limit(count: u64) -> usize {
    if count == 0 {
        usize::MAX
    } else {
        to_usize(count)
    }
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
