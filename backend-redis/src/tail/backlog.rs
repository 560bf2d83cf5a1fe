//! A tail's backlog: its start, and the pages that it reads by itself.

use std::sync::Arc;

use futures_util::FutureExt;
use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::TailEvent;
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheError, CacheResult, Entry, EntryId, TailFrom};

use crate::tail::cursor::{CheckedPage, TailCursor};
use crate::tail::page_reader::{PageSharing, PageTask};
use crate::tail::range::{RangeReply, RangeRequest, entry_id, truncate_after};
use crate::tail::start_position;
use crate::tail::{RedisTail, TailState};

/// How often in a row a page may be cut off before the tail ends. Each attempt reads a quarter of
/// the one before, so the last ones read one entry, however large the first page was.
const MAX_CUT_OFFS: u32 = 8;

impl RedisTail {
    /// Validates the subscription and reserves a place among the hub's waits and tails. Returns
    /// the state in which the tail finds where to start.
    pub(super) fn start(&mut self, from: TailFrom, room: Credit) -> CacheResult<TailState> {
        let subscription = Subscription::Tail {
            stream: (&*self.stream).into(),
            from: from.clone().into(),
        };
        subscription.validate()?;
        self.permit = Some(self.hub.reserve_tail()?);
        let (commands, stream) = (self.commands.clone(), Arc::clone(&self.stream));
        let pages = self.pages.clone();
        Ok(match from {
            TailFrom::Beginning => self.read_first_page(EntryId::ZERO, room),
            TailFrom::After(id) => {
                self.cursor = TailCursor::after(EntryId::parse(&id)?);
                TailState::Backlog
            }
            TailFrom::Now | TailFrom::Last(0) => TailState::Starting(
                async move { start_position::now(&commands, &pages, &stream).await }.boxed(),
            ),
            TailFrom::Last(count) => TailState::Starting(
                async move {
                    let count = u64::try_from(count).unwrap_or(u64::MAX);
                    start_position::before_last(&commands, &pages, &stream, count).await
                }
                .boxed(),
            ),
            _ => return Err(CacheError::unsupported("this start of a tail")),
        })
    }

    /// Starts reading the tail's first page, after an id.
    pub(super) fn read_first_page(&self, after: EntryId, room: Credit) -> TailState {
        // Without room the first entry tells the tail's position, so one is read at least.
        let most = self.page_entries().min(room.entries);
        let count = self.page_size.count().min(most).max(1);
        TailState::FirstPage(
            after,
            self.spawn_read(TailCursor::first_request(after, count)),
        )
    }

    /// Takes the first page. It is not checked for a gap.
    pub(super) fn take_first_page(
        &mut self,
        after: EntryId,
        range: RangeReply,
        room: Credit,
    ) -> CacheResult<()> {
        self.state = match TailCursor::start(after, range)? {
            Some((cursor, page)) => {
                self.cursor = cursor;
                self.observe(&page.entries);
                TailState::PageReady(page)
            }
            None => self.read_first_page(EntryId::ZERO, room),
        };
        Ok(())
    }

    /// Starts reading the next page.
    pub(super) fn read_page(&self, room: Credit) -> TailState {
        let count = self.page_size.within(room).min(self.page_entries());
        TailState::ReadingPage(self.spawn_read(self.cursor.request(count)))
    }

    /// Takes the next page. Returns the gap before it, if there is one.
    pub(super) fn take_page(&mut self, range: RangeReply) -> Option<TailEvent> {
        self.retry_pause = None;
        let after = self.cursor.position;
        let Some(page) = self.cursor.check(range) else {
            self.state = TailState::Backlog;
            return None;
        };
        self.observe(&page.entries);
        let gap = page.gap;
        self.state = TailState::PageReady(page);
        gap.map(|gap| {
            // The feed would report the same gap again, or its position is in a deleted stream.
            self.leave_feed();
            self.gap_event(gap, after)
        })
    }

    /// Reads the page after an id again, alone and smaller, or ends the tail after too many
    /// attempts.
    pub(super) fn page_cut_off(
        &mut self,
        after: EntryId,
        read_again: impl FnOnce(&Self) -> TailState,
    ) {
        self.cut_offs.in_a_row += 1;
        self.cut_offs.reads_alone = true;
        self.state = if self.cut_offs.in_a_row < MAX_CUT_OFFS {
            read_again(self)
        } else {
            let finding = self.pages.find_next_entry(Arc::clone(&self.stream), after);
            TailState::FindingCutOffEntry(after, finding)
        };
    }

    /// Passes on the entries of a page that there is room for. The rest is dropped and read again
    /// later.
    pub(super) fn pass_on_page(
        &mut self,
        mut page: CheckedPage,
        room: Credit,
    ) -> CacheResult<Option<TailEvent>> {
        let mut complete = page.at_end;
        if let Some(position) = self.catch_up_to {
            complete |= truncate_after(&mut page.entries, position);
        }
        if room.is_used_up() {
            self.state = TailState::Backlog;
            return Ok(None);
        }
        let found = page.entries.len();
        page.entries.truncate(room.fitting(&page.entries));
        complete &= page.entries.len() == found;
        self.state = if complete {
            TailState::AtEnd
        } else {
            TailState::Backlog
        };
        let Some(last) = page.entries.last() else {
            return Ok(None);
        };
        self.cursor.advance(entry_id(last)?, &page.entries);
        self.gap_position = None;
        self.cut_offs.in_a_row = 0;
        Ok(Some(TailEvent::Segment(Segment::new(page.entries))))
    }

    fn page_entries(&self) -> u64 {
        self.pages.sizes.backlog_page(self.size_place)
    }

    fn observe(&mut self, entries: &[Entry]) {
        self.page_size.observe(entries);
        self.pages.sizes.observe_entries(self.size_place, entries);
    }

    fn spawn_read(&self, request: RangeRequest) -> PageTask<RangeReply> {
        let stream = Arc::clone(&self.stream);
        let sharing = if self.cut_offs.reads_alone {
            let cut_offs = self.cut_offs.in_a_row;
            PageSharing::Alone { cut_offs }
        } else {
            PageSharing::Shared
        };
        self.pages
            .read(self.commands.clone(), stream, request, sharing)
    }
}
