//! One tail: it reads the backlog by itself, page by page, and then takes what the hub has for
//! all who follow the stream.

pub(crate) mod backlog;
pub(crate) mod cursor;
pub(crate) mod live;
pub(crate) mod page_reader;
pub(crate) mod range;
pub(crate) mod start_position;

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheError, CacheResult, Retry, TailFrom};
use tokio::sync::OwnedSemaphorePermit;

use crate::connection::command_connection::CommandConnection;
use crate::connection::reconnect_pause::ReconnectPause;
use crate::hub::{FeedHandle, Hub};
use crate::tail::cursor::{CheckedPage, TailCursor};
use crate::tail::page_reader::PageTask;
use crate::tail::range::RangeReply;
use crate::tail::start_position::StartPosition;
use crate::wire::errors;
use streamgate_backend::tail::page_size::PageSize;
use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::{TailEvent, TailSource};
use streamgate_protocol::EntryId;

pub(crate) use crate::tail::page_reader::PageReader;

/// What every tail of a [`RedisStreams`](crate::RedisStreams) reads with. Clones are cheap.
#[derive(Clone)]
pub(crate) struct TailReaders {
    pub(crate) commands: CommandConnection,
    pub(crate) hub: Hub,
    pub(crate) pages: PageReader,
}

/// A tail that is pulled.
pub(crate) struct RedisTail {
    readers: TailReaders,
    stream: Arc<str>,
    state: TailState,
    cursor: TailCursor,
    page_size: PageSize,
    /// The first item was given.
    first_item_sent: bool,
    /// Absent before the first poll.
    permit: Option<Arc<OwnedSemaphorePermit>>,
    /// In the hub's feed, which holds all that comes behind `until`.
    feed_handle: Option<FeedHandle>,
    catch_up_to: Option<EntryId>,
    backoff: Option<ReconnectPause>,
}

enum TailState {
    New(TailFrom),
    Starting(BoxFuture<'static, CacheResult<StartPosition>>),
    /// There is, or may be, more than it has seen.
    Backlog,
    /// The first page of all, from behind an id. It is not judged.
    FirstPage(EntryId, PageTask<RangeReply>),
    ReadingPage(PageTask<RangeReply>),
    /// What a page gave and was not passed on yet.
    PageReady(CheckedPage),
    /// It has seen all that there was, or all that does not come by the hub.
    AtEnd,
    Live,
    /// Redis cannot answer for now.
    Pausing(BoxFuture<'static, ReconnectPause>),
    Ended,
}

impl RedisTail {
    pub(crate) fn new(readers: TailReaders, stream: &str, from: TailFrom) -> Self {
        Self {
            readers,
            stream: stream.into(),
            state: TailState::New(from),
            cursor: TailCursor::new(EntryId::ZERO, None),
            page_size: PageSize::new(),
            first_item_sent: false,
            permit: None,
            feed_handle: None,
            catch_up_to: None,
            backoff: None,
        }
    }

    fn leave_feed(&mut self) {
        (self.feed_handle, self.catch_up_to) = (None, None);
    }

    /// What comes instead of entries if there are none: where it stands, once.
    fn nothing(&mut self) -> Option<TailEvent> {
        let first = !std::mem::replace(&mut self.first_item_sent, true);
        first.then(|| TailEvent::Segment(Segment::position_only(self.cursor.at.to_string())))
    }

    /// A tail that has begun outlives what passes by itself.
    fn failed(&mut self, error: CacheError) -> CacheResult<()> {
        if !self.first_item_sent || error.retry() != Retry::Later {
            return Err(error);
        }
        let mut backoff = self.backoff.take().unwrap_or_else(ReconnectPause::new);
        self.state = TailState::Pausing(
            async move {
                backoff.pause().await;
                backoff
            }
            .boxed(),
        );
        Ok(())
    }

    /// One step; none if it takes another to have something to pass on.
    fn step(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<Option<TailEvent>>> {
        match &mut self.state {
            TailState::New(from) => {
                let from = std::mem::replace(from, TailFrom::Now);
                self.state = self.begin(from, room)?;
            }
            TailState::Starting(starting) => match ready!(starting.poll_unpin(cx))? {
                StartPosition::After(after, page_size) => {
                    self.page_size = page_size;
                    self.state = self.read_first(after, room);
                }
                StartPosition::At(cursor) => {
                    self.cursor = cursor;
                    self.state = TailState::AtEnd;
                    return Poll::Ready(Ok(self.nothing()));
                }
            },
            TailState::Backlog
                if self
                    .catch_up_to
                    .is_some_and(|until| self.cursor.at >= until) =>
            {
                self.state = TailState::AtEnd;
            }
            TailState::Backlog if room.is_used_up() => return self.full(),
            TailState::Backlog => self.state = self.read(room),
            TailState::FirstPage(after, page) => {
                let (after, range) = (*after, ready!(page.poll_unpin(cx))?);
                self.take_first(after, range, room)?;
            }
            TailState::ReadingPage(page) => match ready!(page.poll_unpin(cx)) {
                Ok(range) => return Poll::Ready(self.read_page(range)),
                Err(error) => self.failed(error)?,
            },
            TailState::PageReady(taken) if taken.entries.is_empty() => {
                let at_end = taken.at_end;
                self.state = if at_end {
                    TailState::AtEnd
                } else {
                    TailState::Backlog
                };
                if at_end {
                    return Poll::Ready(Ok(self.nothing()));
                }
            }
            TailState::PageReady(_) => {
                if let TailState::PageReady(taken) =
                    std::mem::replace(&mut self.state, TailState::Ended)
                {
                    return Poll::Ready(self.pass_on(taken, room));
                }
            }
            TailState::AtEnd if self.feed_handle.is_some() => self.state = TailState::Live,
            TailState::AtEnd if room.is_used_up() => return self.full(),
            TailState::AtEnd => {
                let permit = self.permit.clone().ok_or_else(errors::hub_ended)?;
                let feed_handle =
                    self.readers
                        .hub
                        .tail_source(&self.stream, self.cursor, permit)?;
                self.feed_handle = Some(feed_handle);
                self.state = TailState::Live;
            }
            TailState::Live => {
                let Some(feed_handle) = &self.feed_handle else {
                    self.state = TailState::Backlog;
                    return Poll::Ready(Ok(None));
                };
                let news = if room.is_used_up() {
                    ready!(feed_handle.queue.poll_end(cx))
                } else {
                    ready!(feed_handle.queue.poll(cx))
                };
                return Poll::Ready(self.take_news(news, room));
            }
            TailState::Pausing(pause) => {
                self.backoff = Some(ready!(pause.poll_unpin(cx)));
                self.state = TailState::Backlog;
            }
            TailState::Ended => return Poll::Ready(Err(errors::hub_ended())),
        }
        Poll::Ready(Ok(None))
    }

    /// There is no room: only the first item comes, and whoever makes room polls again.
    fn full(&mut self) -> Poll<CacheResult<Option<TailEvent>>> {
        match self.nothing() {
            Some(first) => Poll::Ready(Ok(Some(first))),
            None => Poll::Pending,
        }
    }
}

impl TailSource for RedisTail {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        loop {
            match ready!(self.step(cx, room)) {
                Ok(None) => {}
                Ok(Some(followed)) => {
                    self.first_item_sent = true;
                    return Poll::Ready(Ok(followed));
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
