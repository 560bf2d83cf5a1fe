//! Reads pages of backlogs, a bounded number of them at once.
//!
//! A page is read by a task of its own, not by the tail's future. A permit, or a place in the
//! semaphore's queue, that belonged to a future that nobody polls would be kept from all other
//! tails.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use redis::Value;
use streamgate_protocol::CacheResult;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::connection::command_connection::CommandConnection;
use crate::tail::range::{RangeReply, RangeRequest};
use crate::wire::errors;
use crate::wire::packing::PackedCommands;

/// Pages that are read at once, of all tails: enough to keep Redis busy, and 8 MiB of entries of
/// usual size. Further pages wait for a permit.
const MAX_PAGES: usize = 32;

/// Spawns the tasks that read pages. Clones share the bound.
#[derive(Debug, Clone)]
pub(crate) struct PageReader {
    permits: Arc<Semaphore>,
    runtime: Handle,
}

/// A task that reads, whether or not this future is polled. Dropping it aborts the task.
#[derive(Debug)]
pub(super) struct PageTask<T>(JoinHandle<CacheResult<T>>);

impl PageReader {
    /// Returns a reader whose tasks run on the current runtime.
    pub(crate) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_PAGES)),
            runtime: Handle::current(),
        }
    }

    /// Reads a range of a stream.
    pub(super) fn read(
        &self,
        commands: CommandConnection,
        stream: Arc<str>,
        request: RangeRequest,
    ) -> PageTask<RangeReply> {
        self.spawn(async move {
            let mut packed = PackedCommands::default();
            request.encode(&mut packed, &stream);
            let values = send_read_only(&commands, packed).await?;
            request.decode(&mut values.into_iter())
        })
    }

    /// Runs a read in a task that first acquires a permit, and holds it to the end.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        read: impl Future<Output = CacheResult<T>> + Send + 'static,
    ) -> PageTask<T> {
        let permits = Arc::clone(&self.permits);
        PageTask(self.runtime.spawn(async move {
            // Nobody closes the semaphore.
            let _permit = permits.acquire().await.map_err(|_| errors::hub_ended())?;
            read.await
        }))
    }
}

/// Sends commands that change nothing, and returns their replies.
pub(super) async fn send_read_only(
    commands: &CommandConnection,
    packed: PackedCommands,
) -> CacheResult<Vec<Value>> {
    let replies = commands.send(packed).await;
    replies.map_err(|failure| failure.to_cache_error(true))
}

impl<T> Future for PageTask<T> {
    type Output = CacheResult<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The task is lost only if its runtime ends.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dropped_tasks_release_their_permits() {
        let pages = PageReader::new();
        let spawn = || pages.spawn(std::future::pending::<CacheResult<()>>());
        let tasks: Vec<_> = std::iter::repeat_with(spawn).take(MAX_PAGES + 1).collect();
        tokio::task::yield_now().await;
        assert_eq!(pages.permits.available_permits(), 0);
        drop(tasks);
        pages.spawn(async { Ok(()) }).await.unwrap();
    }
}
