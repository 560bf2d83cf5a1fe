//! The feed of a stream: reads each change once for all tails of the stream. No I/O.
//!
//! The feed has a cursor of its own. It checks every page for gaps as a tail does, and puts one
//! `Arc` of a segment, or the gap, into the queues of all subscribers.
//!
//! A subscriber whose cursor is before the feed's reads up to the feed's position by itself. One
//! whose cursor is after it skips the entries that it has read already. But the entries it has read
//! may belong to a stream that was deleted since, so the feed confirms that cursor by a read with
//! the stream's info.
//!
//! A slow subscriber holds nothing: a full queue is dropped, and that tail reads by itself from
//! then on.
//!
//! If the hub's connection is lost twice in a row during the feed's read, Redis may have closed it
//! because the page was too large. Then all tails read by themselves, on another connection. They
//! join a feed again that bounds its reads, and that makes them read by themselves whenever an
//! entry exceeds the bound. So no entry of that stream can end the hub's connection any more.

pub(crate) mod feed_handle;
pub(crate) mod feed_queue;
pub(crate) mod queued_segment;

use std::collections::BTreeMap;
use std::sync::Arc;

use streamgate_backend::tail::page_size::PageSize;
use streamgate_protocol::{CacheError, CacheResult, EntryId};

use crate::hub::feed::feed_queue::FeedQueue;
use crate::hub::feed::queued_segment::{QueuedBytes, QueuedSegment};
use crate::tail::cursor::{CheckedPage, TailCursor};
use crate::tail::range::{ByteBound, RangeReply, RangeRequest, entry_id};
use crate::wire::errors;

/// Lost connections in a row during the feed's read after which tails read by themselves. The first
/// may have had another cause, such as a restart of Redis.
const MAX_CUT_OFFS: u32 = 2;

/// Bytes of a feed's page, once one was cut off: a small part of the smallest output buffer limit
/// that is of any use.
const BOUNDED_READ_BYTES: u64 = 64 * 1024;

/// A tail in a feed, as the hub keeps it.
pub(super) struct FeedSubscriber {
    number: u64,
    queue: Arc<FeedQueue>,
    /// Where the tail was when it joined.
    pub(super) position: EntryId,
    /// Present until it has joined.
    pub(super) cursor: Option<Box<TailCursor>>,
    /// Whether a read for this tail was cut off.
    bounded: bool,
}

/// The feed of one stream. It sends every entry after its cursor to all subscribers.
pub(super) struct Feed {
    cursor: TailCursor,
    page_size: PageSize,
    /// Whether a read is needed.
    pub(super) due: bool,
    subscribers: BTreeMap<u64, FeedSubscriber>,
    /// The positions of subscribers that are after the feed's cursor and not confirmed yet.
    ahead: BTreeMap<u64, EntryId>,
    confirmation: Confirmation,
    /// Whether reads are bounded in bytes.
    bounded: bool,
    /// How many of the last reads in a row ended with a lost connection.
    cut_offs: u32,
}

/// The read with info that confirms the subscribers that are ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    NotNeeded,
    Needed,
    InFlight,
}

impl FeedSubscriber {
    pub(super) fn new(
        number: u64,
        queue: Arc<FeedQueue>,
        cursor: TailCursor,
        bounded: bool,
    ) -> Self {
        Self {
            number,
            queue,
            position: cursor.position,
            cursor: Some(Box::new(cursor)),
            bounded,
        }
    }
}

impl Drop for FeedSubscriber {
    fn drop(&mut self) {
        // Only the end of the hub's task gets this far: a tail that leaves does not poll its queue
        // any more, and one that lags has ended its queue already.
        self.queue.end(errors::hub_ended());
    }
}

impl Feed {
    /// Creates a feed at the cursor of its first subscriber.
    pub(super) fn new(cursor: TailCursor) -> Self {
        Self {
            cursor,
            page_size: PageSize::new(),
            due: false,
            subscribers: BTreeMap::new(),
            ahead: BTreeMap::new(),
            confirmation: Confirmation::NotNeeded,
            bounded: false,
            cut_offs: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    pub(super) fn join(&mut self, subscriber: FeedSubscriber) {
        self.bounded |= subscriber.bounded;
        subscriber.queue.send_joined(self.cursor.position);
        let position = subscriber.position;
        if position > self.cursor.position {
            self.ahead.insert(subscriber.number, position);
            (self.due, self.confirmation) = (true, Confirmation::Needed);
        }
        self.subscribers.insert(subscriber.number, subscriber);
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.subscribers.remove(&number);
        self.ahead.remove(&number);
    }

    /// Returns the read to make, if one is needed.
    pub(super) fn start_read(&mut self) -> Option<RangeRequest> {
        if !std::mem::take(&mut self.due) {
            return None;
        }
        let mut request = self.cursor.request(self.page_size.count());
        if self.confirmation != Confirmation::NotNeeded {
            self.confirmation = Confirmation::InFlight;
            request.with_info = true;
        }
        if self.bounded {
            request.bound = Some(ByteBound {
                bytes: BOUNDED_READ_BYTES,
                allow_larger_first: false,
            });
        }
        Some(request)
    }

    /// Records that the connection was lost during the feed's read.
    pub(super) fn read_cut_off(&mut self) {
        self.cut_offs += 1;
        if self.cut_offs >= MAX_CUT_OFFS {
            self.cut_off_all();
        }
    }

    /// Makes all tails read by themselves, since the next page may be too large for the hub.
    fn cut_off_all(&mut self) {
        self.ahead.clear();
        for subscriber in std::mem::take(&mut self.subscribers).into_values() {
            subscriber.queue.cut_off();
        }
    }

    /// Sends the result of a read to the subscribers. Returns the feed's position if it is the end
    /// of the stream.
    pub(super) fn finish_read(
        &mut self,
        request: RangeRequest,
        range: RangeReply,
        total: &QueuedBytes,
    ) -> CacheResult<Option<EntryId>> {
        self.cut_offs = 0;
        // An earlier feed of this stream made the read.
        if request.position != self.cursor.position {
            self.due = true;
            return Ok(None);
        }
        let Some(page) = self.cursor.check(range) else {
            self.due = true;
            return Ok(None);
        };
        let CheckedPage {
            gap,
            entries,
            at_end,
            last_generated,
        } = page;
        if let Some(gap) = gap {
            // A subscriber that is ahead may miss other entries, or none: it looks by itself.
            self.lag_ahead();
            self.subscribers
                .retain(|_, subscriber| subscriber.queue.push_gap(gap));
        }
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            let (first, last) = (entry_id(first)?, entry_id(last)?);
            self.page_size.observe(&entries);
            self.cursor.advance(last, &entries);
            let segment = QueuedSegment::new(entries, first, last, total);
            self.subscribers
                .retain(|_, subscriber| subscriber.queue.push(&segment));
            self.ahead.retain(|_, position| *position > last);
        }
        if request.bound.is_some() && !at_end && self.cursor.position == request.position {
            // The next entry exceeds the bound.
            self.cut_off_all();
            return Ok(None);
        }
        self.due |= !at_end;
        if at_end && self.confirmation == Confirmation::InFlight {
            // Where the stream does not tell which ids it generated, those that were read count.
            let furthest = self.ahead.values().max().copied();
            let known = last_generated.or(furthest.filter(|_| request.info_is_refused));
            self.confirm_ahead(known);
        }
        Ok(at_end.then_some(self.cursor.position))
    }

    /// Makes every subscriber lag whose queue is not empty.
    pub(super) fn lag_slow(&mut self) {
        self.subscribers
            .retain(|_, subscriber| subscriber.queue.lag_unless_empty());
    }

    /// Ends all tails with an error.
    pub(super) fn end(&self, error: &CacheError) {
        for subscriber in self.subscribers.values() {
            subscriber.queue.end(error.clone());
        }
    }

    /// Confirms the subscribers that are still ahead at the end of the stream: what they have read
    /// was deleted since, unless the stream never generated their ids.
    fn confirm_ahead(&mut self, last_generated: Option<EntryId>) {
        self.confirmation = Confirmation::NotNeeded;
        if let Some(&furthest) = self.ahead.values().max() {
            match last_generated {
                Some(end) if end >= furthest => {
                    self.cursor.skip_to(end);
                    self.ahead.clear();
                }
                _ => self.lag_ahead(),
            }
        }
    }

    fn lag_ahead(&mut self) {
        for number in std::mem::take(&mut self.ahead).into_keys() {
            if let Some(subscriber) = self.subscribers.remove(&number) {
                subscriber.queue.lag();
            }
        }
    }
}

#[cfg(test)]
mod tests;
