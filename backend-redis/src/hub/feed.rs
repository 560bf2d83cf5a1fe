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
use crate::tail::range::{RangeReply, RangeRequest, entry_id};
use crate::wire::errors;

/// A tail in a feed, as the hub keeps it.
pub(super) struct FeedSubscriber {
    number: u64,
    queue: Arc<FeedQueue>,
    /// Where the tail was when it joined.
    pub(super) cursor: TailCursor,
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
}

/// The read with info that confirms the subscribers that are ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    NotNeeded,
    Needed,
    InFlight,
}

impl FeedSubscriber {
    pub(super) fn new(number: u64, queue: Arc<FeedQueue>, cursor: TailCursor) -> Self {
        Self {
            number,
            queue,
            cursor,
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
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    pub(super) fn join(&mut self, subscriber: FeedSubscriber) {
        subscriber.queue.send_joined(self.cursor.position);
        let position = subscriber.cursor.position;
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
        Some(request)
    }

    /// Sends the result of a read to the subscribers. Returns the feed's position if it is the end
    /// of the stream.
    pub(super) fn finish_read(
        &mut self,
        request: RangeRequest,
        range: RangeReply,
        total: &QueuedBytes,
    ) -> CacheResult<Option<EntryId>> {
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
        self.due |= !at_end;
        if at_end && self.confirmation == Confirmation::InFlight {
            self.confirm_ahead(last_generated);
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
