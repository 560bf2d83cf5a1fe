//! The readers and consumers that wait, as the hub's table keeps them.

use std::sync::Arc;

use streamgate_backend::Cancellation;
use streamgate_protocol::{ByteString, CacheResult, EntryId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::hub::group::admission::QueueSlot;
use crate::hub::shared_entries::SharedEntries;

/// A reader that waits for entries after an id.
pub(super) struct ReadWaiter {
    pub(super) number: u64,
    pub(super) waiter: Waiter,
    pub(super) after: EntryId,
    /// Maximum number of entries; 0 for no limit.
    pub(super) count: u64,
}

/// A consumer that waits for entries of its group. Its number is that of its queue slot.
pub(super) struct GroupReadWaiter {
    pub(super) waiter: Waiter,
    pub(super) slot: QueueSlot,
    pub(super) name: ByteString,
    /// Maximum number of entries; 0 for no limit.
    pub(super) count: u64,
}

/// What readers and consumers have in common.
pub(super) struct Waiter {
    pub(super) deadline: Option<Instant>,
    /// Closed once the caller has cancelled the wait.
    pub(super) reply: oneshot::Sender<CacheResult<SharedEntries>>,
    /// Also cancelled before the caller has received the wait.
    pub(super) cancellation: Cancellation,
    /// Counts against the bound on all waits and tails.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Identifies a waiter in the hub's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WaiterKey {
    pub(super) stream: Arc<[u8]>,
    /// Absent for a reader.
    pub(super) group: Option<Arc<[u8]>>,
    pub(super) number: u64,
}

impl Waiter {
    /// Ends the wait with a result.
    pub(super) fn complete(self, result: CacheResult<SharedEntries>) {
        // A caller that has cancelled the wait needs no reply.
        let _ = self.reply.send(result);
    }

    /// Returns whether the caller has cancelled the wait.
    pub(super) fn is_cancelled(&self) -> bool {
        self.reply.is_closed() || self.cancellation.is_cancelled()
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl GroupReadWaiter {
    pub(super) fn key(&self) -> WaiterKey {
        WaiterKey {
            stream: Arc::clone(&self.slot.key.stream),
            group: Some(Arc::clone(&self.slot.key.group)),
            number: self.slot.number,
        }
    }
}
