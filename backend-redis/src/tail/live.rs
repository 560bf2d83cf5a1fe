//! The part of a tail that comes by the hub.

use std::sync::Arc;

use streamgate_protocol::CacheResult;
use streamgate_protocol::message::Credit;

use crate::hub::{FeedEvent, QueuedSegment};
use crate::tail::cursor::TailCursor;
use crate::tail::page_reader::Part;
use crate::tail::range::{entry_id, seen};
use crate::tail::{RedisTail, TailState};
use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::TailEvent;

impl RedisTail {
    /// The part of a shared segment that was not seen yet, as far as there is room.
    pub(super) fn share(
        &mut self,
        live: Arc<QueuedSegment>,
        room: Credit,
    ) -> CacheResult<Option<TailEvent>> {
        let entries = live.segment.entries();
        let unseen = if live.first > self.cursor.at {
            entries
        } else {
            &entries[seen(entries, self.cursor.at)..]
        };
        let count = room.fitting(unseen);
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
        self.cursor.advance(last, &unseen[..count]);
        if let Some(feed_handle) = &self.feed_handle
            && last < live.last
        {
            feed_handle.queue.put_back(live);
        }
        Ok(Some(TailEvent::Segment(segment)))
    }

    /// What the hub has. None if that is nothing to pass on; the state says how it goes on.
    pub(super) fn take_news(
        &mut self,
        news: FeedEvent,
        room: Credit,
    ) -> CacheResult<Option<TailEvent>> {
        match news {
            FeedEvent::Joined(at) => {
                if at > self.cursor.at {
                    self.catch_up_to = Some(at);
                    self.state = TailState::Backlog;
                }
                Ok(None)
            }
            FeedEvent::Segment(live) if live.last <= self.cursor.at => Ok(None),
            FeedEvent::Segment(live) => self.share(live, room),
            // It did not come to where the feed stood: what is missing there is another matter, and
            // perhaps of a stream that was gone when it looked. It looks for itself.
            FeedEvent::Gap(_) if self.catch_up_to.is_some_and(|until| self.cursor.at < until) => {
                self.leave_feed();
                self.state = TailState::Backlog;
                Ok(None)
            }
            // It has found the same by itself.
            FeedEvent::Gap(gap) if !gap.recreated && gap.position <= self.cursor.at => Ok(None),
            FeedEvent::Gap(gap) if gap.position == self.cursor.at => Ok(None),
            FeedEvent::Gap(gap) => {
                let after = self.cursor.at;
                self.cursor = TailCursor::after(gap.position);
                Ok(Some(TailEvent::Gap(Box::new(gap.gap(after)))))
            }
            FeedEvent::Lagged => {
                self.leave_feed();
                self.state = TailState::Backlog;
                Ok(None)
            }
            FeedEvent::Ended(error) => Err(error),
        }
    }
}
