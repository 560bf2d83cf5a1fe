//! Pages of the backlog, and parts of them.

use std::sync::Arc;

use redis::Pipeline;
use streamgate_protocol::{CacheResult, StreamEntry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::start::ask;
use crate::entry_id::EntryId;
use crate::redis::commands::Commands;
use crate::redis::error;
use crate::redis::range::{Range, RangeRead, entry_id};
use crate::segment::Segment;

/// Pages under way at once, of all tails: enough to keep Redis busy, and 8 MiB of usual entries.
/// Whoever comes then waits for a turn.
const MAX_PAGES: usize = 32;

/// Takes turns at reading pages.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Pages(Arc<Semaphore>);

/// A part of a segment, and the id of its last entry.
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    pub(super) last: EntryId,
}

impl Pages {
    pub(in crate::redis) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_PAGES)))
    }

    pub(super) async fn turn(&self) -> CacheResult<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        // It is never closed.
        turn.map_err(|_| error::hub_ended())
    }

    pub(super) async fn read(
        &self,
        commands: &Commands,
        stream: &str,
        read: RangeRead,
    ) -> CacheResult<Range> {
        let _turn = self.turn().await?;
        let mut pipeline = Pipeline::new();
        read.add_to(&mut pipeline, stream);
        read.answered(&mut ask(commands, &pipeline).await?.into_iter())
    }
}

/// How many of the entries are not behind a place.
pub(super) fn seen(entries: &[StreamEntry], at: EntryId) -> usize {
    entries.partition_point(|entry| entry_id(entry).is_ok_and(|id| id <= at))
}

/// Cuts off what is behind a place. Whether anything was.
pub(super) fn up_to(entries: &mut Vec<StreamEntry>, until: EntryId) -> bool {
    let kept = seen(entries, until);
    let cut = kept < entries.len();
    entries.truncate(kept);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<StreamEntry> {
        let entry = |n| (format!("{n}-0"), vec![("f".to_owned(), "v".repeat(6))]);
        (1..=4).map(entry).collect()
    }

    #[test]
    fn entries_are_cut_at_a_place() {
        let at = EntryId::parse("2-5").unwrap();
        let mut entries = entries();
        assert_eq!(seen(&entries, at), 2);
        assert!(up_to(&mut entries, at));
        assert_eq!(entries.len(), 2);
        assert!(!up_to(&mut entries, at));
    }
}
