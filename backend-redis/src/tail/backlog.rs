//! The part of a tail that it reads by itself.

use std::sync::Arc;

use futures_util::FutureExt;
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheResult, TailFrom};

use crate::operation::batch::invalid_id;
use crate::tail::cursor::{Standing, Taken};
use crate::tail::page::{Turn, up_to};
use crate::tail::range::{Range, RangeRead, entry_id};
use crate::tail::start;
use crate::tail::{Follower, State, TailReaders};
use streamgate_backend::entry_id::EntryId;
use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::TailEvent;

impl Follower {
    /// Checks what is asked and asks for the place to start at.
    pub(super) fn begin(&mut self, from: TailFrom, room: Credit) -> CacheResult<State> {
        let subscription = Subscription::Tail {
            stream: (&*self.stream).into(),
            from: from.clone().into(),
        };
        subscription.validate()?;
        self.permit = Some(self.readers.hub.admit()?);
        let (readers, stream) = (self.readers.clone(), Arc::clone(&self.stream));
        Ok(match from {
            TailFrom::Beginning => self.read_first(EntryId::ZERO, room),
            TailFrom::After(id) => {
                self.standing = Standing::after(EntryId::parse(&id).ok_or_else(invalid_id)?);
                State::Behind
            }
            TailFrom::Now | TailFrom::Last(0) => {
                State::Starting(async move { start::now(&readers.commands, &stream).await }.boxed())
            }
            TailFrom::Last(count) => State::Starting(
                async move {
                    let count = u64::try_from(count).unwrap_or(u64::MAX);
                    start::last(&readers.commands, &readers.pages, &stream, count).await
                }
                .boxed(),
            ),
        })
    }

    /// Reads what comes first, behind an id.
    pub(super) fn read_first(&self, after: EntryId, room: Credit) -> State {
        // Without room the first entry says where the tail stands.
        let count = self.page_size.count().min(room.entries).max(1);
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
                self.page_size.saw(&taken.entries);
                State::Holding(taken)
            }
            None => self.read_first(EntryId::ZERO, room),
        };
        Ok(())
    }

    pub(super) fn read(&self, room: Credit) -> State {
        State::Reading(self.page(self.standing.read(self.page_size.within(room))))
    }

    fn page(&self, read: RangeRead) -> Turn<Range> {
        let TailReaders {
            commands, pages, ..
        } = &self.readers;
        pages.read(commands.clone(), Arc::clone(&self.stream), read)
    }

    /// Passes on what a page gave, as far as there is room. Nothing is kept of what does not fit.
    pub(super) fn pass_on(
        &mut self,
        mut taken: Taken,
        room: Credit,
    ) -> CacheResult<Option<TailEvent>> {
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
        Ok(Some(TailEvent::Segment(Segment::new(taken.entries))))
    }

    pub(super) fn read_page(&mut self, range: Range) -> CacheResult<Option<TailEvent>> {
        self.backoff = None;
        let after = self.standing.at;
        let Some(taken) = self.standing.take(range) else {
            self.state = State::Behind;
            return Ok(None);
        };
        self.page_size.saw(&taken.entries);
        let gap = taken.gap;
        self.state = State::Holding(taken);
        Ok(gap.map(|gap| {
            // The feed would tell of it again, or stands in a stream that is gone.
            self.stand_up();
            TailEvent::Gap(Box::new(gap.gap(after)))
        }))
    }
}
