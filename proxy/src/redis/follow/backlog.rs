//! The part of a tail that it reads by itself.

use std::sync::Arc;

use futures_util::FutureExt;
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheResult, TailFrom};

use super::page::{Turn, up_to};
use super::start;
use super::{Follower, State};
use crate::entry_id::EntryId;
use crate::follow::Followed;
use crate::redis::batch::invalid_id;
use crate::redis::range::{Range, RangeRead, entry_id};
use crate::redis::standing::{Standing, Taken};
use crate::redis::{RedisStreams, number};
use crate::segment::Segment;

impl Follower {
    /// Checks what is asked and asks for the place to start at.
    pub(super) fn begin(&mut self, from: TailFrom, room: Credit) -> CacheResult<State> {
        let subscription = Subscription::Tail {
            stream: (&*self.stream).into(),
            from: from.clone().into(),
        };
        subscription.validate()?;
        self.permit = Some(self.streams.hub.admit()?);
        let (streams, stream) = (self.streams.clone(), Arc::clone(&self.stream));
        Ok(match from {
            TailFrom::Beginning => self.read_first(EntryId::ZERO, room),
            TailFrom::After(id) => {
                self.standing = Standing::after(EntryId::parse(&id).ok_or_else(invalid_id)?);
                State::Behind
            }
            TailFrom::Now | TailFrom::Last(0) => {
                State::Starting(async move { start::now(&streams.commands, &stream).await }.boxed())
            }
            TailFrom::Last(count) => State::Starting(
                async move {
                    let count = number(count);
                    let RedisStreams {
                        commands, pages, ..
                    } = &streams;
                    start::last(commands, pages, &stream, count).await
                }
                .boxed(),
            ),
        })
    }

    /// Reads what comes first, behind an id.
    pub(super) fn read_first(&self, after: EntryId, room: Credit) -> State {
        // Without room the first entry says where the tail stands.
        let count = self.pace.count().min(room.entries).max(1);
        State::Beginning(after, self.page(Standing::first_read(after, count)))
    }

    /// Takes what came first. It is not judged.
    pub(super) fn take_first(
        &mut self,
        after: EntryId,
        range: Range,
        room: Credit,
    ) -> CacheResult<()> {
        self.state = match Standing::begin(after, range)? {
            Some((standing, taken)) => {
                self.standing = standing;
                self.pace.saw(&taken.entries);
                State::Holding(taken)
            }
            None => self.read_first(EntryId::ZERO, room),
        };
        Ok(())
    }

    pub(super) fn read(&self, room: Credit) -> State {
        State::Reading(self.page(self.standing.read(self.pace.within(room))))
    }

    fn page(&self, read: RangeRead) -> Turn<Range> {
        let RedisStreams {
            commands, pages, ..
        } = &self.streams;
        pages.read(commands.clone(), Arc::clone(&self.stream), read)
    }

    /// Passes on what a page gave, as far as there is room. Nothing is kept of what does not fit.
    pub(super) fn pass_on(
        &mut self,
        mut taken: Taken,
        room: Credit,
    ) -> CacheResult<Option<Followed>> {
        let mut complete = taken.at_end;
        if let Some(until) = self.until {
            complete |= up_to(&mut taken.entries, until);
        }
        if room.is_used_up() {
            self.state = State::Behind;
            return Ok(None);
        }
        let found = taken.entries.len();
        taken.entries.truncate(room.fitting(&taken.entries));
        complete &= taken.entries.len() == found;
        self.state = if complete {
            State::AtEnd
        } else {
            State::Behind
        };
        let Some(last) = taken.entries.last() else {
            return Ok(None);
        };
        self.standing.advance(entry_id(last)?, &taken.entries);
        Ok(Some(Followed::Segment(Segment::new(taken.entries))))
    }

    pub(super) fn read_page(&mut self, range: Range) -> CacheResult<Option<Followed>> {
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
            // The feed would tell of it again, or stands in a stream that is gone.
            self.stand_up();
            Followed::Gap(Box::new(gap.gap(after)))
        }))
    }
}
