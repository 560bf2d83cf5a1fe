//! The followers of one stream, who share what is read of it. No I/O.

pub(crate) mod feed_handle;
pub(crate) mod feed_queue;

use std::collections::BTreeMap;
use std::sync::Arc;

use streamgate_protocol::{CacheError, CacheResult};

use crate::hub::feed::feed_queue::{FeedQueue, QueuedBytes, QueuedSegment};
use crate::tail::cursor::{CheckedPage, TailCursor};
use crate::tail::range::{RangeReply, RangeRequest, entry_id};
use crate::wire::errors;
use streamgate_backend::tail::page_size::PageSize;
use streamgate_protocol::EntryId;

/// One who follows.
pub(crate) struct FeedSubscriber {
    pub(super) number: u64,
    pub(super) queue: Arc<FeedQueue>,
    /// What it has seen so far.
    pub(super) cursor: TailCursor,
}

/// One stream, read once for all its followers.
///
/// All that comes behind the feed's place is pushed to all. A subscriber that has seen more than the
/// feed filters; one that has seen less reads up to the place at which it joined by itself.
pub(super) struct Feed {
    cursor: TailCursor,
    page_size: PageSize,
    /// A read is needed.
    pub(super) due: bool,
    subscribers: BTreeMap<u64, FeedSubscriber>,
    /// Members that have seen more than the feed: in another life of the stream, perhaps, of
    /// which the ids would say nothing. So they are confirmed by a check.
    ahead: BTreeMap<u64, EntryId>,
    check: LeadCheck,
}

/// A check for the sake of those who are ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeadCheck {
    NotNeeded,
    Needed,
    UnderWay,
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
        // Heard only if the hub ends: whoever leaves does not listen, whoever lags knows.
        self.queue.end(errors::hub_ended());
    }
}

impl Feed {
    /// Begins where the first of its subscribers stands.
    pub(super) fn new(cursor: TailCursor) -> Self {
        Self {
            cursor,
            page_size: PageSize::new(),
            due: false,
            subscribers: BTreeMap::new(),
            ahead: BTreeMap::new(),
            check: LeadCheck::NotNeeded,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    pub(super) fn join(&mut self, subscriber: FeedSubscriber) {
        subscriber.queue.join(self.cursor.at);
        if subscriber.cursor.at > self.cursor.at {
            self.ahead.insert(subscriber.number, subscriber.cursor.at);
            (self.due, self.check) = (true, LeadCheck::Needed);
        }
        self.subscribers.insert(subscriber.number, subscriber);
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.subscribers.remove(&number);
        self.ahead.remove(&number);
    }

    /// The read to make, if one is needed.
    pub(super) fn start(&mut self) -> Option<RangeRequest> {
        if !std::mem::take(&mut self.due) {
            return None;
        }
        let mut read = self.cursor.read(self.page_size.count());
        if self.check != LeadCheck::NotNeeded {
            self.check = LeadCheck::UnderWay;
            read.checked = true;
        }
        Some(read)
    }

    /// Takes what a read found. Returns the place behind which there was nothing, if the end was
    /// reached.
    pub(super) fn finish(
        &mut self,
        read: RangeRequest,
        range: RangeReply,
        total: &QueuedBytes,
    ) -> CacheResult<Option<EntryId>> {
        // Of an earlier feed of this stream.
        if read.at != self.cursor.at {
            self.due = true;
            return Ok(None);
        }
        let Some(taken) = self.cursor.take(range) else {
            self.due = true;
            return Ok(None);
        };
        let CheckedPage {
            gap,
            entries,
            at_end,
            last_generated,
        } = taken;
        if let Some(gap) = gap {
            // Whoever is ahead may miss something else, or nothing: it looks for itself.
            self.lag_ahead();
            self.subscribers
                .retain(|_, subscriber| subscriber.queue.push_gap(gap));
        }
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            let (first, last) = (entry_id(first)?, entry_id(last)?);
            self.page_size.observe(&entries);
            self.cursor.advance(last, &entries);
            let live = QueuedSegment::new(entries, first, last, total);
            self.subscribers
                .retain(|_, subscriber| subscriber.queue.push(&live));
            self.ahead.retain(|_, at| *at > last);
        }
        self.due |= !at_end;
        if at_end && self.check == LeadCheck::UnderWay {
            self.confirm(last_generated);
        }
        Ok(at_end.then_some(self.cursor.at))
    }

    /// Lets those fall behind who have not taken what they were given.
    pub(super) fn lag_waiting(&mut self) {
        self.subscribers
            .retain(|_, subscriber| subscriber.queue.lag_if_waiting());
    }

    /// Ends all tails.
    pub(super) fn end(&self, error: &CacheError) {
        for subscriber in self.subscribers.values() {
            subscriber.queue.end(error.clone());
        }
    }

    /// The end was reached: who is still ahead has seen what was deleted meanwhile, unless the
    /// stream is another one.
    fn confirm(&mut self, last_generated: Option<EntryId>) {
        self.check = LeadCheck::NotNeeded;
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
