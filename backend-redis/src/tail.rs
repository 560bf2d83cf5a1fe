//! Tails of Redis streams: [`RedisTail`] reads the backlog, then receives the stream's live
//! entries from the hub.
//!
//! # How a tail proceeds
//!
//! 1. It finds where to start (`start_position.rs`).
//! 2. It reads the backlog page by page on the connection for commands (`backlog.rs`,
//!    `page_reader.rs`).
//! 3. At the end of the stream it joins the stream's feed in the hub, and passes on what the feed
//!    queues for it (`live.rs`). The feed reads each change once for all tails of the stream.
//!
//! Every read begins with the entry at the tail's cursor. If that entry is there, no entry is
//! missing after it. If not, `XINFO STREAM` and the page are read in one transaction, and the
//! cursor decides whether there is a gap (`cursor.rs`).
//!
//! # Pages that Redis cuts off
//!
//! If Redis closes the connection while it answers a page, the tail reads a smaller page, alone,
//! and on another connection (`page_reader.rs`). If a page of one entry is cut off several times,
//! the tail ends with an error that names the entry.
//!
//! # Joining and leaving the feed
//!
//! A tail whose cursor is before the feed's position reads up to that position by itself. A tail
//! whose cursor is after it skips the entries that it has read already.
//!
//! A slow tail holds nothing. Its queue in the feed is bounded, and the hub drops the queue when it
//! is full. The tail then reads from its cursor by itself, and joins the feed again at the end. So
//! no segment is kept for long, and no tail waits for another.

mod backlog;
pub(crate) mod cursor;
mod live;
pub(crate) mod page_reader;
pub(crate) mod range;
mod start_position;

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_backend::tail::gap::Discontinuity;
use streamgate_backend::tail::page_size::PageSize;
use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::{TailEvent, TailSource};
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheError, CacheResult, EntryId, Retry, TailFrom};
use tokio::sync::OwnedSemaphorePermit;

use crate::connection::command_connection::CommandConnection;
use crate::connection::reconnect_pause::ReconnectPause;
use crate::hub::Hub;
use crate::hub::feed::feed_handle::FeedHandle;
use crate::operation::entry_sizes::SizePlace;
use crate::tail::cursor::{CheckedPage, TailCursor};
use crate::tail::page_reader::{PageError, PageReader, PageTask};
use crate::tail::range::RangeReply;
use crate::tail::start_position::StartPosition;
use crate::wire::errors;

/// A tail of one Redis stream. It reads nothing before its first poll.
pub(crate) struct RedisTail {
    commands: CommandConnection,
    hub: Hub,
    pages: PageReader,
    stream: Arc<[u8]>,
    size_place: SizePlace,
    state: TailState,
    cursor: TailCursor,
    page_size: PageSize,
    first_item_sent: bool,
    /// The position after the last gap that was reported, while no entry was read after it.
    gap_position: Option<EntryId>,
    /// Absent before the first poll.
    permit: Option<Arc<OwnedSemaphorePermit>>,
    /// Present while the tail is in the hub's feed, which queues every entry after `catch_up_to`.
    feed_handle: Option<FeedHandle>,
    catch_up_to: Option<EntryId>,
    retry_pause: Option<ReconnectPause>,
    cut_offs: CutOffs,
}

/// What a tail knows of its pages that were cut off.
#[derive(Debug, Default)]
struct CutOffs {
    /// How often the page after the cursor was cut off.
    in_a_row: u32,
    /// Whether the tail reads its pages alone, until the end of its backlog.
    reads_alone: bool,
    /// Whether the feed has to bound its reads for this tail.
    bounds_feed: bool,
}

enum TailState {
    New(TailFrom),
    Starting(BoxFuture<'static, CacheResult<StartPosition>>),
    /// The stream has, or may have, entries after the cursor that the feed does not queue.
    Backlog,
    /// Reads the first page of the tail, after an id. No gap can come before it.
    FirstPage(EntryId, PageTask<RangeReply>),
    ReadingPage(PageTask<RangeReply>),
    /// Holds a page whose entries were not passed on yet.
    PageReady(CheckedPage),
    /// The cursor is at the end of the stream, or where the feed continues.
    AtEnd,
    Live,
    /// Redis refuses to answer for now.
    Pausing(BoxFuture<'static, ReconnectPause>),
    /// Finds which entry was cut off too often, after an id.
    FindingCutOffEntry(EntryId, PageTask<Option<(String, u64)>>),
    Ended,
}

impl RedisTail {
    pub(crate) fn new(
        commands: CommandConnection,
        hub: Hub,
        pages: PageReader,
        stream: &[u8],
        from: TailFrom,
    ) -> Self {
        Self {
            commands,
            hub,
            size_place: pages.sizes.place(stream),
            pages,
            stream: stream.into(),
            state: TailState::New(from),
            cursor: TailCursor::new(EntryId::ZERO, None),
            page_size: PageSize::new(),
            first_item_sent: false,
            gap_position: None,
            permit: None,
            feed_handle: None,
            catch_up_to: None,
            retry_pause: None,
            cut_offs: CutOffs::default(),
        }
    }

    fn leave_feed(&mut self) {
        (self.feed_handle, self.catch_up_to) = (None, None);
    }

    /// Returns the tail's position as its first item, unless an item was sent already.
    fn position_as_first_item(&mut self) -> Option<TailEvent> {
        let is_first = !std::mem::replace(&mut self.first_item_sent, true);
        is_first.then(|| {
            let position = self.cursor.position.to_string();
            TailEvent::Segment(Segment::position_only(position))
        })
    }

    /// Returns the gap to report to the owner of a tail that was at `after`.
    fn gap_event(&mut self, gap: Discontinuity, after: EntryId) -> TailEvent {
        self.gap_position = Some(gap.position);
        TailEvent::Gap(Box::new(gap.gap(after)))
    }

    /// Pauses after a transient error. The error ends a tail that has sent no item yet.
    fn pause_after(&mut self, error: CacheError) -> CacheResult<()> {
        if !self.first_item_sent || error.retry() != Retry::Later {
            return Err(error);
        }
        let mut pause = self.retry_pause.take().unwrap_or_else(ReconnectPause::new);
        self.state = TailState::Pausing(
            async move {
                pause.pause().await;
                pause
            }
            .boxed(),
        );
        Ok(())
    }

    /// Makes one transition. `None` means that another one is needed to have an event.
    fn step(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<Option<TailEvent>>> {
        let has_caught_up = self.has_caught_up();
        match &mut self.state {
            TailState::New(from) => {
                let from = std::mem::replace(from, TailFrom::Now);
                self.state = self.start(from, room)?;
            }
            TailState::Starting(starting) => match ready!(starting.poll_unpin(cx))? {
                StartPosition::After(after, page_size) => {
                    self.page_size = page_size;
                    self.state = self.read_first_page(after, room);
                }
                StartPosition::At(cursor) => {
                    self.cursor = *cursor;
                    self.state = TailState::AtEnd;
                    return Poll::Ready(Ok(self.position_as_first_item()));
                }
            },
            TailState::Backlog if has_caught_up => self.state = TailState::AtEnd,
            TailState::Backlog if room.is_used_up() => return self.poll_without_room(),
            TailState::Backlog => self.state = self.read_page(room),
            TailState::FirstPage(after, page) => {
                let after = *after;
                match ready!(page.poll_unpin(cx)) {
                    Ok(range) => self.take_first_page(after, range, room)?,
                    Err(PageError::CutOff(_)) => {
                        self.page_cut_off(after, |tail| tail.read_first_page(after, room))
                    }
                    Err(PageError::Failed(error)) => return Poll::Ready(Err(error)),
                }
            }
            TailState::ReadingPage(page) => match ready!(page.poll_unpin(cx)) {
                Ok(range) => return Poll::Ready(Ok(self.take_page(range))),
                Err(PageError::CutOff(_)) => {
                    let after = self.cursor.position;
                    self.page_cut_off(after, |_| TailState::Backlog);
                }
                Err(PageError::Failed(error)) => self.pause_after(error)?,
            },
            TailState::FindingCutOffEntry(after, finding) => {
                // The entry is named if it can be found; the tail ends in any case.
                let entry = ready!(finding.poll_unpin(cx)).ok().flatten();
                return Poll::Ready(Err(errors::cut_off(*after, entry)));
            }
            TailState::PageReady(page) if page.entries.is_empty() => {
                let at_end = page.at_end;
                self.state = if at_end {
                    TailState::AtEnd
                } else {
                    TailState::Backlog
                };
                if at_end {
                    return Poll::Ready(Ok(self.position_as_first_item()));
                }
            }
            TailState::PageReady(_) => {
                let state = std::mem::replace(&mut self.state, TailState::Ended);
                if let TailState::PageReady(page) = state {
                    return Poll::Ready(self.pass_on_page(page, room));
                }
            }
            TailState::AtEnd if self.feed_handle.is_some() => self.state = TailState::Live,
            TailState::AtEnd if room.is_used_up() => return self.poll_without_room(),
            TailState::AtEnd => {
                let permit = self.permit.clone().ok_or_else(errors::hub_ended)?;
                (self.cut_offs.in_a_row, self.cut_offs.reads_alone) = (0, false);
                let (cursor, bounded) = (self.cursor.clone(), self.cut_offs.bounds_feed);
                let joined = self.hub.join_feed(&self.stream, cursor, bounded, permit);
                self.feed_handle = Some(joined?);
                self.state = TailState::Live;
            }
            TailState::Live => {
                let Some(feed_handle) = &self.feed_handle else {
                    self.state = TailState::Backlog;
                    return Poll::Ready(Ok(None));
                };
                let event = if room.is_used_up() {
                    ready!(feed_handle.queue.poll_end(cx))
                } else {
                    ready!(feed_handle.queue.poll(cx))
                };
                return Poll::Ready(self.take_feed_event(event, room));
            }
            TailState::Pausing(pause) => {
                self.retry_pause = Some(ready!(pause.poll_unpin(cx)));
                self.state = TailState::Backlog;
            }
            TailState::Ended => return Poll::Ready(Err(errors::hub_ended())),
        }
        Poll::Ready(Ok(None))
    }

    /// Sends the position if it is the first item. Else waits: whoever makes room polls again.
    fn poll_without_room(&mut self) -> Poll<CacheResult<Option<TailEvent>>> {
        match self.position_as_first_item() {
            Some(first) => Poll::Ready(Ok(Some(first))),
            None => Poll::Pending,
        }
    }

    /// Returns whether the feed queues everything after the cursor.
    fn has_caught_up(&self) -> bool {
        let catch_up_to = self.catch_up_to;
        catch_up_to.is_some_and(|position| self.cursor.position >= position)
    }
}

impl TailSource for RedisTail {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        loop {
            match ready!(self.step(cx, room)) {
                Ok(None) => {}
                Ok(Some(event)) => {
                    self.first_item_sent = true;
                    return Poll::Ready(Ok(event));
                }
                Err(error) => {
                    self.leave_feed();
                    self.state = TailState::Ended;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}
