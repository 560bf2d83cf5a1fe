//! The builder of [`MemoryStreams`](crate::MemoryStreams), which sets the capacities.

use crate::budget::{
    DEFAULT_CAPACITY_BYTES, DEFAULT_PENDING_BYTES, DEFAULT_WAITING_BYTES, MAX_SHARED_BYTES,
};
use crate::shared_store::SharedStore;
use crate::store::{Capacity, Store};

/// Builds [`MemoryStreams`](crate::MemoryStreams). Get one from
/// [`MemoryStreams::builder`](crate::MemoryStreams::builder).
///
/// All capacities are in bytes and include an estimate of what it costs to hold a thing, so they
/// bound the memory of the process approximately.
///
/// ```
/// use streamgate_memory::MemoryStreams;
///
/// let streams = MemoryStreams::builder()
///     .capacity_bytes(64 * 1024 * 1024)
///     .build();
/// ```
#[derive(Debug, Clone)]
#[must_use = "call `build`"]
pub struct MemoryStreamsBuilder {
    capacity: Capacity,
}

impl MemoryStreamsBuilder {
    pub(crate) fn new() -> Self {
        Self {
            capacity: Capacity {
                stored: DEFAULT_CAPACITY_BYTES,
                pending: DEFAULT_PENDING_BYTES,
                waiting: DEFAULT_WAITING_BYTES,
                shared: MAX_SHARED_BYTES,
            },
        }
    }

    /// Sets the capacity for streams: their keys, their groups' names and their entries.
    /// [`DEFAULT_CAPACITY_BYTES`] by default.
    ///
    /// An add or a new group beyond it fails with `OOM`.
    pub fn capacity_bytes(mut self, bytes: usize) -> Self {
        self.capacity.stored = bytes;
        self
    }

    /// Sets the capacity for pending entries and consumers' names, over all groups.
    /// [`DEFAULT_PENDING_BYTES`] by default.
    ///
    /// A group read beyond it fails with `OOM`.
    pub fn pending_bytes(mut self, bytes: usize) -> Self {
        self.capacity.pending = bytes;
        self
    }

    /// Sets the capacity for waiting calls and tails. [`DEFAULT_WAITING_BYTES`] by default.
    ///
    /// A wait or a tail beyond it fails with `OVERLOADED`.
    pub fn waiting_bytes(mut self, bytes: usize) -> Self {
        self.capacity.waiting = bytes;
        self
    }

    pub(crate) fn into_store(self) -> SharedStore {
        SharedStore::new(Store::new(self.capacity))
    }
}

impl Default for MemoryStreamsBuilder {
    fn default() -> Self {
        Self::new()
    }
}
