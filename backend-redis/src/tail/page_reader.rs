//! Reads pages of backlogs, a bounded number of them at once.
//!
//! A page is read by a task of its own, not by the tail's future. A permit, or a place in the
//! semaphore's queue, that belonged to a future that nobody polls would be kept from all other
//! tails.
//!
//! # Pages that are cut off
//!
//! Redis closes a connection whose unread answers exceed its `client-output-buffer-limit`. After a
//! page was cut off, all pages travel for a while on a connection of their own, bounded in bytes. A
//! tail whose page was cut off reads alone until the end of its backlog: no other page shares the
//! limit with it, and none is lost with it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use redis::Value;
use streamgate_protocol::{CacheError, EntryId};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::connection::command_connection::{CommandConnection, SendError};
use crate::connection::page_connection::PageConnection;
use crate::operation::entry_sizes::EntrySizes;
use crate::tail::range::{ByteBound, RangeReply, RangeRequest};
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::script_access::ScriptAccess;
use crate::wire::{answers, errors, scripts};

/// Pages that are read at once, of all tails: enough to keep Redis busy, and 2 MiB of entries, behind
/// which the answers to others wait. An entry of several pages counts as several. Further pages wait
/// for a permit.
const MAX_PAGES: u32 = 8;

/// How long pages travel on a connection of their own after one was cut off. A cause such as a restart
/// of Redis is over by then; an entry that is too large costs others a connection this seldom.
const APART_AFTER_CUT_OFF: Duration = Duration::from_secs(600);

/// Bytes of a page that is bounded: as many as an adaptive page should have.
const PAGE_BYTES: u64 = 256 * 1024;

/// Spawns the tasks that read pages. Clones share the bound.
#[derive(Clone)]
pub(crate) struct PageReader {
    permits: Arc<Semaphore>,
    runtime: Handle,
    page_connection: PageConnection,
    pub(super) sizes: Arc<EntrySizes>,
    scripts: ScriptAccess,
    /// When a page was last cut off.
    last_cut_off: Arc<Mutex<Option<Instant>>>,
}

/// How a page is read once pages were cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageSharing {
    /// Beside other pages.
    Shared,
    /// While no other page is read. Its bound is divided by four for each time it was cut off.
    Alone { cut_offs: u32 },
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum PageError {
    /// The connection was lost while the page was being read.
    CutOff(CacheError),
    Failed(CacheError),
}

/// A task that reads, whether or not this future is polled. Dropping it aborts the task.
#[derive(Debug)]
pub(super) struct PageTask<T>(JoinHandle<Result<T, PageError>>);

impl PageReader {
    /// Returns a reader whose tasks run on the current runtime.
    pub(crate) fn new(
        page_connection: PageConnection,
        scripts: ScriptAccess,
        sizes: Arc<EntrySizes>,
    ) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_PAGES as usize)),
            runtime: Handle::current(),
            page_connection,
            sizes,
            scripts,
            last_cut_off: Arc::default(),
        }
    }

    /// Reads a range of a stream.
    pub(super) fn read(
        &self,
        commands: CommandConnection,
        stream: Arc<[u8]>,
        request: RangeRequest,
        sharing: PageSharing,
    ) -> PageTask<RangeReply> {
        let pages = self.clone();
        let request = RangeRequest {
            info_is_refused: !commands.has_stream_info(),
            ..request
        };
        let pages_needed = self.sizes.pages(self.sizes.place(&stream));
        self.spawn(sharing, pages_needed, async move {
            if sharing == PageSharing::Shared && !pages.were_cut_off() {
                let values = send_read_only(&commands, request.packed(&stream)).await;
                return pages.decode(request, values);
            }
            let bounded = pages.bounded(request.clone(), sharing);
            let is_script = bounded.bound.is_some();
            match pages.read_apart(bounded, &stream).await {
                Err(PageError::Failed(error)) if is_script && pages.is_script_refusal(&error) => {
                    let smaller = pages.bounded(request, sharing);
                    pages.read_apart(smaller, &stream).await
                }
                page => page,
            }
        })
    }

    /// Finds the id and the size of the entry after a position, if Redis runs scripts.
    pub(super) fn find_next_entry(
        &self,
        stream: Arc<[u8]>,
        position: EntryId,
    ) -> PageTask<Option<(String, u64)>> {
        let pages = self.clone();
        self.spawn(PageSharing::Shared, 1, async move {
            let mut packed = PackedCommands::default();
            scripts::next_entry(&mut packed, &stream, position);
            let values = pages.page_connection.send(packed).await?;
            let answer = answers::next_value(&mut values.into_iter());
            Ok(answers::entry_size(answer)?)
        })
    }

    /// Runs a read in a task that first acquires its permits, and holds them to the end.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        sharing: PageSharing,
        pages_needed: u32,
        read: impl Future<Output = Result<T, PageError>> + Send + 'static,
    ) -> PageTask<T> {
        let permits = Arc::clone(&self.permits);
        let needed = match sharing {
            PageSharing::Shared => pages_needed.min(MAX_PAGES),
            PageSharing::Alone { .. } => MAX_PAGES,
        };
        PageTask(self.runtime.spawn(async move {
            // Nobody closes the semaphore.
            let permits = permits.acquire_many(needed).await;
            let _permits = permits.map_err(|_| errors::hub_ended())?;
            read.await
        }))
    }

    /// Returns whether a page was cut off lately, so that reads of unknown size have to be avoided on
    /// the connections of others.
    pub(super) fn were_cut_off(&self) -> bool {
        self.last_cut_off()
            .is_some_and(|at| at.elapsed() < APART_AFTER_CUT_OFF)
    }

    fn last_cut_off(&self) -> MutexGuard<'_, Option<Instant>> {
        let last = self.last_cut_off.lock();
        // Nothing panics under the lock.
        last.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a read whose answer may be large can be a script instead.
    pub(super) fn uses_scripts(&self) -> bool {
        self.were_cut_off() && self.may_use_scripts()
    }

    /// Returns the same for a stream, which may have large entries.
    pub(super) fn uses_scripts_for(&self, stream: &[u8]) -> bool {
        let is_large = self.sizes.is_large(self.sizes.place(stream));
        (is_large || self.were_cut_off()) && self.may_use_scripts()
    }

    fn may_use_scripts(&self) -> bool {
        self.scripts.is_allowed()
    }

    /// Records that a page was cut off.
    pub(super) fn set_cut_off(&self) {
        if !self.were_cut_off() {
            tracing::warn!(
                "a connection to Redis was lost while a page of a stream was read: pages use a \
                 connection of their own for a while; if this goes on, compare the size of entries \
                 with Redis's client-output-buffer-limit"
            );
        }
        *self.last_cut_off() = Some(Instant::now());
    }

    /// Records whether a page was cut off, and returns it.
    pub(super) fn record<T>(&self, page: Result<T, PageError>) -> Result<T, PageError> {
        if let Err(PageError::CutOff(_)) = page {
            self.set_cut_off();
        }
        page
    }

    /// Reads a range on the connection that carries pages alone.
    async fn read_apart(
        &self,
        request: RangeRequest,
        stream: &[u8],
    ) -> Result<RangeReply, PageError> {
        let values = self.page_connection.send(request.packed(stream)).await;
        self.decode(request, values.map_err(PageError::from))
    }

    fn decode(
        &self,
        request: RangeRequest,
        values: Result<Vec<Value>, PageError>,
    ) -> Result<RangeReply, PageError> {
        let values = self.record(values)?;
        Ok(request.decode(&mut values.into_iter())?)
    }

    fn bounded(&self, request: RangeRequest, sharing: PageSharing) -> RangeRequest {
        let divide = |number: u64| match sharing {
            PageSharing::Shared => number,
            PageSharing::Alone { cut_offs } => number.checked_shr(2 * cut_offs).unwrap_or(0),
        };
        let bound = self.may_use_scripts().then(|| ByteBound {
            bytes: divide(PAGE_BYTES),
            allow_larger_first: true,
        });
        let count = divide(request.count).max(1);
        RangeRequest {
            count,
            bound,
            ..request
        }
    }

    /// Returns whether Redis refused a script with this error, and records that.
    pub(super) fn is_script_refusal(&self, error: &CacheError) -> bool {
        self.scripts.record(error)
    }
}

/// Sends commands that change nothing, and returns their replies.
pub(super) async fn send_read_only(
    commands: &CommandConnection,
    packed: PackedCommands,
) -> Result<Vec<Value>, PageError> {
    Ok(commands.send(packed).await?)
}

impl From<CacheError> for PageError {
    fn from(error: CacheError) -> Self {
        Self::Failed(error)
    }
}

impl From<SendError> for PageError {
    fn from(error: SendError) -> Self {
        let cache_error = error.to_cache_error(true);
        match error {
            SendError::NoAnswer(lost) if !lost.is_timeout() => Self::CutOff(cache_error),
            _ => Self::Failed(cache_error),
        }
    }
}

impl From<PageError> for CacheError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::CutOff(error) | PageError::Failed(error) => error,
        }
    }
}

impl<T> Future for PageTask<T> {
    type Output = Result<T, PageError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The task is lost only if its runtime ends.
        self.0
            .poll_unpin(cx)
            .map(|done| done.unwrap_or_else(|_| Err(errors::hub_ended().into())))
    }
}

impl<T> Drop for PageTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use crate::connection::availability::RedisAvailability;
    use crate::connection::command_connection::ConnectionStatus;
    use crate::connection::endpoint::{ConnectionSettings, Endpoint};

    use super::*;

    fn page_reader() -> PageReader {
        let endpoint = Endpoint::new("redis://127.0.0.1", ConnectionSettings::default());
        let (_, status) = watch::channel(ConnectionStatus {
            generation: 0,
            is_up: true,
            tracks: true,
            pongs: 0,
        });
        PageReader::new(
            PageConnection::new(endpoint.unwrap(), status, RedisAvailability::default()),
            ScriptAccess::default(),
            Arc::new(EntrySizes::new()),
        )
    }

    #[tokio::test]
    async fn dropped_tasks_release_their_permits() {
        let pages = page_reader();
        let spawn = || {
            let never = std::future::pending::<Result<(), PageError>>();
            pages.spawn(PageSharing::Shared, 1, never)
        };
        let tasks: Vec<_> = std::iter::repeat_with(spawn)
            .take(MAX_PAGES as usize + 1)
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(pages.permits.available_permits(), 0);
        drop(tasks);
        let alone = PageSharing::Alone { cut_offs: 1 };
        pages.spawn(alone, 1, async { Ok(()) }).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn pages_travel_apart_for_a_while_after_one_was_cut_off() {
        let pages = page_reader();
        assert!(!pages.were_cut_off());
        pages.set_cut_off();
        assert!(pages.were_cut_off());
        tokio::time::advance(APART_AFTER_CUT_OFF).await;
        assert!(!pages.were_cut_off());
    }

    #[tokio::test]
    async fn a_page_that_is_cut_off_again_and_again_has_one_entry_in_the_end() {
        let pages = page_reader();
        let request = RangeRequest {
            position: EntryId::ZERO,
            count: 1024,
            with_info: false,
            look_up: Vec::new(),
            bound: None,
            info_is_refused: false,
        };
        let counts = [0, 1, 3, 5, 40].map(|cut_offs| {
            let bounded = pages.bounded(request.clone(), PageSharing::Alone { cut_offs });
            (bounded.count, bounded.bound.unwrap().bytes)
        });
        let expected = [
            (1024, 262_144),
            (256, 65_536),
            (16, 4_096),
            (1, 256),
            (1, 0),
        ];
        assert_eq!(counts, expected);
    }
}
