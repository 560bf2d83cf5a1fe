//! What the hub is told, and what it gives to those who wait.

use std::ops::Range;
use std::sync::Arc;

use streamgate_protocol::{CacheResult, StreamEntry};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::hub::feed::FeedSubscriber;
use crate::hub::group::cancel_guard::DeliveryGuard;
use crate::hub::group::wait_queue::{GroupKey, QueueSlot};
use streamgate_protocol::EntryId;

/// What the hub is told.
pub(crate) enum HubMessage {
    /// Somebody waits for entries after an id.
    Read(Arc<str>, ReadWaiter),
    /// A consumer of a group waits for entries.
    ReadGroup(GroupReadWaiter),
    /// Somebody follows a stream.
    JoinFeed(Arc<str>, FeedSubscriber),
    /// Somebody does not wait any more.
    CancelWait(WaiterKey),
    /// Somebody does not follow a stream any more.
    LeaveFeed(Arc<str>, u64),
    /// The consumer that came first does not try any more.
    NextInLine(GroupKey),
}

/// A reader that waits.
pub(crate) struct ReadWaiter {
    pub(super) number: u64,
    pub(super) waiter: Waiter,
    pub(super) after: EntryId,
    /// At most so many entries; 0 for no limit.
    pub(super) count: u64,
}

/// A consumer that waits. Its place in the line is its number.
pub(crate) struct GroupReadWaiter {
    pub(super) waiter: Waiter,
    pub(super) slot: QueueSlot,
    pub(super) delivery: DeliveryGuard,
    pub(super) name: String,
    /// At most so many entries; 0 for no limit.
    pub(super) count: u64,
}

/// What readers and consumers have in common.
pub(crate) struct Waiter {
    pub(super) deadline: Option<Instant>,
    /// Closed once nobody waits any more.
    pub(super) answer: oneshot::Sender<CacheResult<SharedEntries>>,
    /// Counts against the bound on all who wait.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Where in the table somebody waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WaiterKey {
    pub(super) stream: Arc<str>,
    /// Absent for a reader.
    pub(super) group: Option<Arc<str>>,
    pub(super) number: u64,
}

/// The entries for one who waits, part of what may be shared with others.
#[derive(Debug)]
pub(crate) struct SharedEntries {
    entries: Arc<Vec<StreamEntry>>,
    part: Range<usize>,
}

impl Waiter {
    pub(super) fn end(self, result: CacheResult<SharedEntries>) {
        // Whoever stopped waiting needs no answer.
        let _ = self.answer.send(result);
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl SharedEntries {
    pub(super) fn nothing() -> Self {
        Self::all(Vec::new())
    }

    pub(super) fn all(entries: Vec<StreamEntry>) -> Self {
        let part = 0..entries.len();
        Self {
            entries: Arc::new(entries),
            part,
        }
    }

    /// `part` must lie within the entries.
    pub(super) fn part(entries: &Arc<Vec<StreamEntry>>, part: Range<usize>) -> Self {
        Self {
            entries: Arc::clone(entries),
            part,
        }
    }

    /// Copies only what is still shared.
    pub(super) fn into_entries(self) -> Vec<StreamEntry> {
        match Arc::try_unwrap(self.entries) {
            Ok(mut entries) => {
                entries.truncate(self.part.end);
                entries.drain(..self.part.start);
                entries
            }
            Err(shared) => shared[self.part].to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_the_same_shared_or_not() {
        let entries: Vec<StreamEntry> = (0..5).map(|n| (format!("{n}-0"), Vec::new())).collect();
        let wanted = entries[1..3].to_vec();
        let shared = Arc::new(entries);
        let first = SharedEntries::part(&shared, 1..3);
        assert_eq!(first.into_entries(), wanted);
        let last = SharedEntries::part(&shared, 1..3);
        drop(shared);
        assert_eq!(last.into_entries(), wanted);
    }
}
