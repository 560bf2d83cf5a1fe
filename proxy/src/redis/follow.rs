//! One tail: it reads the backlog by itself, page by page, and then takes what the hub has for
//! all who follow the stream.

mod page;
mod start;

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheError, CacheResult, Retry, TailFrom};
use tokio::sync::OwnedSemaphorePermit;

use self::page::{Part, fitting, seen, up_to};
use self::start::Start;
use super::RedisStreams;
use super::batch::invalid_id;
use super::connection::Backoff;
use super::error;
use super::hub::{Live, News, Seat};
use super::pace::{PAGE_BYTES, Pace};
use super::range::{Range, RangeRead, entry_id};
use super::standing::{Standing, Taken};
use crate::entry_id::EntryId;
use crate::follow::{Follow, Followed};
use crate::segment::Segment;

pub(super) use self::page::Pages;

/// A tail that is pulled.
pub(super) struct Follower {
    streams: RedisStreams,
    stream: Arc<str>,
    state: State,
    standing: Standing,
    pace: Pace,
    /// The first item was given.
    told: bool,
    /// Absent before the first poll.
    permit: Option<Arc<OwnedSemaphorePermit>>,
    /// In the hub's feed, which holds all that comes behind `until`.
    seat: Option<Seat>,
    until: Option<EntryId>,
    backoff: Option<Backoff>,
}

enum State {
    New(TailFrom),
    Starting(BoxFuture<'static, CacheResult<(Start, bool)>>),
    /// There is, or may be, more than it has seen.
    Behind,
    /// The first page of all, which is not judged.
    Beginning(BoxFuture<'static, CacheResult<Range>>),
    Reading(BoxFuture<'static, CacheResult<Range>>),
    /// What a page gave and was not passed on yet.
    Holding(Taken),
    /// It has seen all that there was, or all that does not come by the hub.
    AtEnd,
    Live,
    /// Redis cannot answer for now.
    Pausing(BoxFuture<'static, Backoff>),
    Over,
}

impl Follower {
    pub(super) fn new(streams: RedisStreams, stream: &str, from: TailFrom) -> Self {
        Self {
            streams,
            stream: stream.into(),
            state: State::New(from),
            standing: Standing::new(EntryId::ZERO, None),
            pace: Pace::new(),
            told: false,
            permit: None,
            seat: None,
            until: None,
            backoff: None,
        }
    }

    /// Checks what is asked and asks for the place to start at.
    fn begin(&mut self, from: TailFrom, room: Credit) -> CacheResult<State> {
        let subscription = Subscription::Tail {
            stream: (&*self.stream).into(),
            from: from.clone().into(),
        };
        subscription.validate()?;
        self.permit = Some(self.streams.hub.admit()?);
        let (streams, stream) = (self.streams.clone(), Arc::clone(&self.stream));
        Ok(match from {
            TailFrom::Beginning => self.read_beginning(room),
            TailFrom::After(id) => {
                self.standing = Standing::new(EntryId::parse(&id).ok_or_else(invalid_id)?, None);
                State::Behind
            }
            TailFrom::Now | TailFrom::Last(0) => State::Starting(
                async move {
                    let standing = start::now(&streams.commands, &stream).await?;
                    Ok((Start::At(standing), true))
                }
                .boxed(),
            ),
            TailFrom::Last(count) => State::Starting(
                async move {
                    let count = super::number(count);
                    let RedisStreams {
                        commands, pages, ..
                    } = &streams;
                    let start = start::last(commands, pages, &stream, count).await?;
                    Ok((start, false))
                }
                .boxed(),
            ),
        })
    }

    fn read_beginning(&self, room: Credit) -> State {
        // Without room the first entry says where the tail stands.
        let count = self.pace.count().min(room.entries).max(1);
        State::Beginning(self.page(Standing::first_read(count)))
    }

    fn read(&self, room: Credit) -> State {
        let count = self.pace.count().min(room.entries);
        let small_room = room.bytes < PAGE_BYTES;
        let count = if small_room {
            // As much less as there is less room.
            (count.saturating_mul(room.bytes) / PAGE_BYTES).max(1)
        } else {
            count
        };
        State::Reading(self.page(self.standing.read(count)))
    }

    fn page(&self, read: RangeRead) -> BoxFuture<'static, CacheResult<Range>> {
        let (streams, stream) = (self.streams.clone(), Arc::clone(&self.stream));
        async move { streams.pages.read(&streams.commands, &stream, read).await }.boxed()
    }

    /// Passes on what a page gave, as far as there is room. Nothing is kept of what does not fit.
    fn pass_on(&mut self, mut taken: Taken, room: Credit) -> CacheResult<Option<Followed>> {
        let mut complete = taken.at_end;
        if let Some(until) = self.until {
            complete |= up_to(&mut taken.entries, until);
        }
        if room.is_used_up() {
            self.state = State::Behind;
            return Ok(None);
        }
        let found = taken.entries.len();
        taken.entries.truncate(fitting(&taken.entries, room));
        complete &= taken.entries.len() == found;
        self.state = if complete {
            State::AtEnd
        } else {
            State::Behind
        };
        let Some(last) = taken.entries.last() else {
            return Ok(None);
        };
        self.standing.advance(entry_id(last)?, taken.entries.len());
        Ok(Some(Followed::Segment(Segment::new(taken.entries))))
    }

    /// The part of a shared segment that was not seen yet, as far as there is room.
    fn share(&mut self, live: Arc<Live>, room: Credit) -> CacheResult<Option<Followed>> {
        let entries = live.segment.entries();
        let unseen = if live.first > self.standing.at {
            entries
        } else {
            &entries[seen(entries, self.standing.at)..]
        };
        let count = fitting(unseen, room);
        let Part { segment, last } = match unseen[..count].last() {
            None => return Ok(None),
            Some(_) if count == entries.len() => Part {
                segment: Arc::clone(&live.segment),
                last: live.last,
            },
            Some(last) => Part {
                segment: Segment::new(unseen[..count].to_vec()),
                last: entry_id(last)?,
            },
        };
        self.standing.advance(last, count);
        if let Some(seat) = &self.seat
            && last < live.last
        {
            seat.queue.put_back(live);
        }
        Ok(Some(Followed::Segment(segment)))
    }

    /// What the hub has. None if that is nothing to pass on; the state says how it goes on.
    fn take_news(&mut self, news: News, room: Credit) -> CacheResult<Option<Followed>> {
        match news {
            News::Joined(at) => {
                if at > self.standing.at {
                    self.until = Some(at);
                    self.state = State::Behind;
                }
                Ok(None)
            }
            News::Segment(live) if live.last <= self.standing.at => Ok(None),
            News::Segment(live) => self.share(live, room),
            // It has found the same by itself.
            News::Gap(gap) if !gap.recreated && gap.position <= self.standing.at => Ok(None),
            News::Gap(gap) => {
                let after = self.standing.at;
                self.standing = Standing::new(gap.position, None);
                Ok(Some(Followed::Gap(gap.gap(after))))
            }
            News::Lagged => {
                self.stand_up();
                self.state = State::Behind;
                Ok(None)
            }
            News::Ended(error) => Err(error),
        }
    }

    fn stand_up(&mut self) {
        (self.seat, self.until) = (None, None);
    }

    /// What comes instead of entries if there are none: where it stands, once.
    fn nothing(&mut self) -> Option<Followed> {
        let first = !std::mem::replace(&mut self.told, true);
        first.then(|| Followed::Segment(Segment::standing_at(self.standing.at.to_string())))
    }

    /// A tail that has begun outlives what passes by itself.
    fn failed(&mut self, error: CacheError) -> CacheResult<()> {
        if !self.told || error.retry() != Retry::Later {
            return Err(error);
        }
        let mut backoff = self.backoff.take().unwrap_or_else(Backoff::new);
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
    fn step(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<Option<Followed>>> {
        match &mut self.state {
            State::New(from) => {
                let from = std::mem::replace(from, TailFrom::Now);
                self.state = self.begin(from, room)?;
            }
            State::Starting(starting) => match ready!(starting.poll_unpin(cx))? {
                (Start::Beginning, _) => self.state = self.read_beginning(room),
                (Start::At(standing), at_end) => {
                    self.standing = standing;
                    self.state = if at_end { State::AtEnd } else { State::Behind };
                    if at_end {
                        return Poll::Ready(Ok(self.nothing()));
                    }
                }
            },
            State::Behind if self.until.is_some_and(|until| self.standing.at >= until) => {
                self.state = State::AtEnd;
            }
            State::Behind if room.is_used_up() => return self.full(),
            State::Behind => self.state = self.read(room),
            State::Beginning(page) => {
                let (standing, taken) = Standing::begin(ready!(page.poll_unpin(cx))?)?;
                self.standing = standing;
                self.pace.saw(&taken.entries);
                self.state = State::Holding(taken);
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
                let permit = self.permit.clone().ok_or_else(error::hub_ended)?;
                let seat = self
                    .streams
                    .hub
                    .follow(&self.stream, self.standing, permit)?;
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
            State::Over => return Poll::Ready(Err(error::hub_ended())),
        }
        Poll::Ready(Ok(None))
    }

    fn read_page(&mut self, range: Range) -> CacheResult<Option<Followed>> {
        self.backoff = None;
        let after = self.standing.at;
        let Some(taken) = self.standing.take(range) else {
            self.state = State::Behind;
            return Ok(None);
        };
        self.pace.saw(&taken.entries);
        let gap = taken.gap;
        self.state = State::Holding(taken);
        Ok(gap.map(|gap| {
            if gap.recreated {
                // What it would have joined is another stream.
                self.stand_up();
            }
            Followed::Gap(gap.gap(after))
        }))
    }

    /// There is no room: only the first item comes, and whoever makes room polls again.
    fn full(&mut self) -> Poll<CacheResult<Option<Followed>>> {
        match self.nothing() {
            Some(first) => Poll::Ready(Ok(Some(first))),
            None => Poll::Pending,
        }
    }
}

impl Follow for Follower {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<Followed>> {
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
