//! PageReader of the backlog, and parts of them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use streamgate_protocol::{CacheResult, StreamEntry};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::connection::command_connection::CommandConnection;
use crate::tail::range::{RangeReply, RangeRequest, seen};
use crate::tail::start_position::ask;
use crate::wire::errors;
use crate::wire::packing::PackedCommands;
use streamgate_backend::tail::segment::Segment;
use streamgate_protocol::EntryId;

/// PageReader under way at once, of all tails: enough to keep Redis busy, and 8 MiB of usual entries.
/// Whoever comes then waits for a turn.
const MAX_PAGES: usize = 32;

/// Takes turns at reading pages.
#[derive(Debug, Clone)]
pub(crate) struct PageReader {
    turns: Arc<Semaphore>,
    runtime: Handle,
}

/// What is done in a turn. It goes on whether or not it is polled, or a tail that is left alone
/// would keep its turn, or its place among those who wait for one, from all others. It ends when
/// this is dropped.
#[derive(Debug)]
pub(super) struct PageTask<T>(JoinHandle<CacheResult<T>>);

/// A part of a segment, and the id of its last entry.
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    pub(super) last: EntryId,
}

impl PageReader {
    /// Of the runtime in which this is called.
    pub(crate) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(MAX_PAGES)),
            runtime: Handle::current(),
        }
    }

    /// Does something once it is its turn, which is over as soon as that is done.
    pub(super) fn turn<T: Send + 'static>(
        &self,
        task: impl Future<Output = CacheResult<T>> + Send + 'static,
    ) -> PageTask<T> {
        let turns = Arc::clone(&self.turns);
        PageTask(self.runtime.spawn(async move {
            // It is never closed.
            let _turn = turns.acquire().await.map_err(|_| errors::hub_ended())?;
            task.await
        }))
    }

    pub(super) fn read(
        &self,
        commands: CommandConnection,
        stream: Arc<str>,
        read: RangeRequest,
    ) -> PageTask<RangeReply> {
        self.turn(async move {
            let mut packed = PackedCommands::default();
            read.add_to(&mut packed, &stream);
            read.answered(&mut ask(&commands, packed).await?.into_iter())
        })
    }
}

impl<T> Future for PageTask<T> {
    type Output = CacheResult<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // It has no answer only if its runtime ends.
        self.0
            .poll_unpin(cx)
            .map(|done| done.unwrap_or_else(|_| Err(errors::hub_ended())))
    }
}

impl<T> Drop for PageTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
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

    #[tokio::test]
    async fn a_turn_is_over_when_it_is_dropped() {
        let pages = PageReader::new();
        let turn = || pages.turn(std::future::pending::<CacheResult<()>>());
        let turns: Vec<_> = std::iter::repeat_with(turn).take(MAX_PAGES + 1).collect();
        tokio::task::yield_now().await;
        assert_eq!(pages.turns.available_permits(), 0);
        drop(turns);
        pages.turn(async { Ok(()) }).await.unwrap();
    }

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
