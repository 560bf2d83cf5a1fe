//! The builder of [`MemoryStreams`](crate::MemoryStreams), which sets the capacities.

use streamgate_backend::memory_budget::MemoryBudget;

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
    memory: MemoryBudget,
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
            memory: MemoryBudget::unlimited(),
        }
    }

    /// Sets the capacity for streams: their keys, their groups' names and their entries.
    /// [`DEFAULT_CAPACITY_BYTES`] by default.
    ///
    /// If an add or a new group does not fit, streams go that have no entries and were not used for
    /// ten minutes. If it still does not fit, it fails with `OOM`.
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

    /// Sets the memory budget from which large replies reserve their room, before they copy entries.
    /// The default refuses nothing.
    pub fn memory_budget(mut self, budget: MemoryBudget) -> Self {
        self.memory = budget;
        self
    }

    pub(crate) fn into_parts(self) -> (SharedStore, MemoryBudget) {
        (SharedStore::new(Store::new(self.capacity)), self.memory)
    }
}

impl Default for MemoryStreamsBuilder {
    fn default() -> Self {
        Self::new()
    }
}
