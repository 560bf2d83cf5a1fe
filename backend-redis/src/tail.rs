//! One tail: it reads the backlog by itself, page by page, and then takes what the hub has for
//! all who follow the stream.

pub(crate) mod backlog;
pub(crate) mod cursor;
pub(crate) mod live;
pub(crate) mod page;
pub(crate) mod range;
pub(crate) mod start;

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheError, CacheResult, Retry, TailFrom};
use tokio::sync::OwnedSemaphorePermit;

use crate::connection::command_connection::CommandConnection;
use crate::connection::reconnect_pause::ReconnectPause;
use crate::hub::{Hub, Seat};
use crate::tail::cursor::{Standing, Taken};
use crate::tail::page::Turn;
use crate::tail::range::Range;
use crate::tail::start::Start;
use crate::wire::errors;
use streamgate_backend::entry_id::EntryId;
use streamgate_backend::tail::page_size::PageSize;
use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::{TailEvent, TailSource};

pub(crate) use crate::tail::page::Pages;

/// What every tail of a [`RedisStreams`](crate::RedisStreams) reads with. Clones are cheap.
#[derive(Clone)]
pub(crate) struct TailReaders {
    pub(crate) commands: CommandConnection,
    pub(crate) hub: Hub,
    pub(crate) pages: Pages,
}

/// A tail that is pulled.
pub(crate) struct Follower {
    readers: TailReaders,
    stream: Arc<str>,
    state: State,
    standing: Standing,
    page_size: PageSize,
    /// The first item was given.
    told: bool,
    /// Absent before the first poll.
    permit: Option<Arc<OwnedSemaphorePermit>>,
    /// In the hub's feed, which holds all that comes behind `until`.
    seat: Option<Seat>,
    until: Option<EntryId>,
    backoff: Option<ReconnectPause>,
}

enum State {
    New(TailFrom),
    Starting(BoxFuture<'static, CacheResult<Start>>),
    /// There is, or may be, more than it has seen.
    Behind,
    /// The first page of all, from behind an id. It is not judged.
    Beginning(EntryId, Turn<Range>),
    Reading(Turn<Range>),
    /// What a page gave and was not passed on yet.
    Holding(Taken),
    /// It has seen all that there was, or all that does not come by the hub.
    AtEnd,
    Live,
    /// Redis cannot answer for now.
    Pausing(BoxFuture<'static, ReconnectPause>),
    Over,
}

impl Follower {
    pub(crate) fn new(readers: TailReaders, stream: &str, from: TailFrom) -> Self {
        Self {
            readers,
            stream: stream.into(),
            state: State::New(from),
            standing: Standing::new(EntryId::ZERO, None),
            page_size: PageSize::new(),
            told: false,
            permit: None,
            seat: None,
            until: None,
            backoff: None,
        }
    }

    fn stand_up(&mut self) {
        (self.seat, self.until) = (None, None);
    }

    /// What comes instead of entries if there are none: where it stands, once.
    fn nothing(&mut self) -> Option<TailEvent> {
        let first = !std::mem::replace(&mut self.told, true);
        first.then(|| TailEvent::Segment(Segment::standing_at(self.standing.at.to_string())))
    }

    /// A tail that has begun outlives what passes by itself.
    fn failed(&mut self, error: CacheError) -> CacheResult<()> {
        if !self.told || error.retry() != Retry::Later {
            return Err(error);
        }
        let mut backoff = self.backoff.take().unwrap_or_else(ReconnectPause::new);
        self.state = State::Pausing(
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
            State::New(from) => {
                let from = std::mem::replace(from, TailFrom::Now);
                self.state = self.begin(from, room)?;
            }
            State::Starting(starting) => match ready!(starting.poll_unpin(cx))? {
                Start::Behind(after, page_size) => {
                    self.page_size = page_size;
                    self.state = self.read_first(after, room);
                }
                Start::At(standing) => {
                    self.standing = standing;
                    self.state = State::AtEnd;
                    return Poll::Ready(Ok(self.nothing()));
                }
            },
            State::Behind if self.until.is_some_and(|until| self.standing.at >= until) => {
                self.state = State::AtEnd;
            }
            State::Behind if room.is_used_up() => return self.full(),
            State::Behind => self.state = self.read(room),
            State::Beginning(after, page) => {
                let (after, range) = (*after, ready!(page.poll_unpin(cx))?);
                self.take_first(after, range, room)?;
            }
            State::Reading(page) => match ready!(page.poll_unpin(cx)) {
                Ok(range) => return Poll::Ready(self.read_page(range)),
                Err(error) => self.failed(error)?,
            },
            State::Holding(taken) if taken.entries.is_empty() => {
                let at_end = taken.at_end;
                self.state = if at_end { State::AtEnd } else { State::Behind };
                if at_end {
                    return Poll::Ready(Ok(self.nothing()));
                }
            }
            State::Holding(_) => {
                if let State::Holding(taken) = std::mem::replace(&mut self.state, State::Over) {
                    return Poll::Ready(self.pass_on(taken, room));
                }
            }
            State::AtEnd if self.seat.is_some() => self.state = State::Live,
            State::AtEnd if room.is_used_up() => return self.full(),
            State::AtEnd => {
                let permit = self.permit.clone().ok_or_else(errors::hub_ended)?;
                let seat = self
                    .readers
                    .hub
                    .tail_source(&self.stream, self.standing, permit)?;
                self.seat = Some(seat);
                self.state = State::Live;
            }
            State::Live => {
                let Some(seat) = &self.seat else {
                    self.state = State::Behind;
                    return Poll::Ready(Ok(None));
                };
                let news = if room.is_used_up() {
                    ready!(seat.queue.poll_end(cx))
                } else {
                    ready!(seat.queue.poll(cx))
                };
                return Poll::Ready(self.take_news(news, room));
            }
            State::Pausing(pause) => {
                self.backoff = Some(ready!(pause.poll_unpin(cx)));
                self.state = State::Behind;
            }
            State::Over => return Poll::Ready(Err(errors::hub_ended())),
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

impl TailSource for Follower {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        loop {
            match ready!(self.step(cx, room)) {
                Ok(None) => {}
                Ok(Some(followed)) => {
                    self.told = true;
                    return Poll::Ready(Ok(followed));
                }
                Err(error) => {
                    self.stand_up();
                    self.state = State::Over;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}
