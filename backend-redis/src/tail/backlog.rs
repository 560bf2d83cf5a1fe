//! The part of a tail that it reads by itself.

use std::sync::Arc;

use futures_util::FutureExt;
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheResult, TailFrom};

use crate::tail::cursor::{CheckedPage, TailCursor};
use crate::tail::page_reader::{PageTask, up_to};
use crate::tail::range::{RangeReply, RangeRequest, entry_id};
use crate::tail::start_position;
use crate::tail::{RedisTail, TailReaders, TailState};
use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::TailEvent;
use streamgate_protocol::EntryId;

impl RedisTail {
    /// Checks what is asked and asks for the place to start at.
    pub(super) fn begin(&mut self, from: TailFrom, room: Credit) -> CacheResult<TailState> {
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
                self.cursor = TailCursor::after(EntryId::parse(&id)?);
                TailState::Backlog
            }
            TailFrom::Now | TailFrom::Last(0) => TailState::Starting(
                async move { start_position::now(&readers.commands, &stream).await }.boxed(),
            ),
            TailFrom::Last(count) => TailState::Starting(
                async move {
                    let count = u64::try_from(count).unwrap_or(u64::MAX);
                    start_position::last(&readers.commands, &readers.pages, &stream, count).await
                }
                .boxed(),
            ),
        })
    }

    /// Reads what comes first, behind an id.
    pub(super) fn read_first(&self, after: EntryId, room: Credit) -> TailState {
        // Without room the first entry says where the tail stands.
        let count = self.page_size.count().min(room.entries).max(1);
        TailState::FirstPage(after, self.page(TailCursor::first_read(after, count)))
    }

    /// Takes what came first. It is not judged.
    pub(super) fn take_first(
        &mut self,
        after: EntryId,
        range: RangeReply,
        room: Credit,
    ) -> CacheResult<()> {
        self.state = match TailCursor::begin(after, range)? {
            Some((cursor, taken)) => {
                self.cursor = cursor;
                self.page_size.observe(&taken.entries);
                TailState::PageReady(taken)
            }
            None => self.read_first(EntryId::ZERO, room),
        };
        Ok(())
    }

    pub(super) fn read(&self, room: Credit) -> TailState {
        TailState::ReadingPage(self.page(self.cursor.read(self.page_size.within(room))))
    }

    fn page(&self, read: RangeRequest) -> PageTask<RangeReply> {
        let TailReaders {
            commands, pages, ..
        } = &self.readers;
        pages.read(commands.clone(), Arc::clone(&self.stream), read)
    }

    /// Passes on what a page gave, as far as there is room. Nothing is kept of what does not fit.
    pub(super) fn pass_on(
        &mut self,
        mut taken: CheckedPage,
        room: Credit,
    ) -> CacheResult<Option<TailEvent>> {
        let mut complete = taken.at_end;
        if let Some(until) = self.catch_up_to {
            complete |= up_to(&mut taken.entries, until);
        }
        if room.is_used_up() {
            self.state = TailState::Backlog;
            return Ok(None);
        }
        let found = taken.entries.len();
        taken.entries.truncate(room.fitting(&taken.entries));
        complete &= taken.entries.len() == found;
        self.state = if complete {
            TailState::AtEnd
        } else {
            TailState::Backlog
        };
        let Some(last) = taken.entries.last() else {
            return Ok(None);
        };
        self.cursor.advance(entry_id(last)?, &taken.entries);
        Ok(Some(TailEvent::Segment(Segment::new(taken.entries))))
    }

    pub(super) fn read_page(&mut self, range: RangeReply) -> CacheResult<Option<TailEvent>> {
        self.backoff = None;
        let after = self.cursor.at;
        let Some(taken) = self.cursor.take(range) else {
            self.state = TailState::Backlog;
            return Ok(None);
        };
        self.page_size.observe(&taken.entries);
        let gap = taken.gap;
        self.state = TailState::PageReady(taken);
        Ok(gap.map(|gap| {
            // The feed would tell of it again, or stands in a stream that is gone.
            self.leave_feed();
            TailEvent::Gap(Box::new(gap.gap(after)))
        }))
    }
}
