//! A tail's live entries and gaps, which the hub's feed delivers.

use std::sync::Arc;

use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::TailEvent;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, GapReason};

use crate::hub::feed::feed_queue::FeedEvent;
use crate::hub::feed::queued_segment::QueuedSegment;
use crate::tail::range::{count_up_to, entry_id};
use crate::tail::{CutOffs, RedisTail, TailState};

impl RedisTail {
    /// Takes an event of the feed. Returns what the tail's owner has to see of it.
    pub(super) fn take_feed_event(
        &mut self,
        event: FeedEvent,
        room: Credit,
    ) -> CacheResult<Option<TailEvent>> {
        let position = self.cursor.position;
        match event {
            FeedEvent::Joined(feed_position) => {
                if feed_position > position {
                    self.catch_up_to = Some(feed_position);
                    self.state = TailState::Backlog;
                }
                Ok(None)
            }
            FeedEvent::Segment(queued) if queued.last <= position => Ok(None),
            FeedEvent::Segment(queued) => self.pass_on_segment(queued, room),
            // The tail has not read up to the feed's position. What it misses there may differ, and
            // may belong to a deleted stream, so it reads by itself.
            FeedEvent::Gap(_) if self.catch_up_to.is_some() && !self.has_caught_up() => {
                self.leave_feed();
                self.state = TailState::Backlog;
                Ok(None)
            }
            // The tail has found the same gap by itself.
            FeedEvent::Gap(gap) if gap.reason == GapReason::Trimmed && gap.position <= position => {
                Ok(None)
            }
            FeedEvent::Gap(gap) if self.gap_position == Some(gap.position) => Ok(None),
            FeedEvent::Gap(gap) => {
                self.cursor.continue_after(gap);
                Ok(Some(self.gap_event(gap, position)))
            }
            FeedEvent::Lagged => {
                self.leave_feed();
                self.state = TailState::Backlog;
                Ok(None)
            }
            FeedEvent::CutOff => {
                self.leave_feed();
                self.pages.set_cut_off();
                self.cut_offs = CutOffs {
                    in_a_row: 0,
                    reads_alone: true,
                    bounds_feed: self.pages.uses_scripts(),
                };
                self.state = TailState::Backlog;
                Ok(None)
            }
            FeedEvent::Ended(error) => Err(error),
        }
    }

    /// Passes on the entries of a shared segment that are after the cursor, as far as there is
    /// room. Puts the segment back if entries are left.
    fn pass_on_segment(
        &mut self,
        queued: Arc<QueuedSegment>,
        room: Credit,
    ) -> CacheResult<Option<TailEvent>> {
        let entries = queued.segment.entries();
        let unseen = if queued.first > self.cursor.position {
            entries
        } else {
            &entries[count_up_to(entries, self.cursor.position)..]
        };
        let count = room.fitting(unseen);
        let (segment, last) = match unseen[..count].last() {
            None => return Ok(None),
            Some(_) if count == entries.len() => (Arc::clone(&queued.segment), queued.last),
            Some(last) => (Segment::new(unseen[..count].to_vec()), entry_id(last)?),
        };
        self.cursor.advance(last, &unseen[..count]);
        self.gap_position = None;
        if let Some(feed_handle) = &self.feed_handle
            && last < queued.last
        {
            feed_handle.queue.put_back(queued);
        }
        Ok(Some(TailEvent::Segment(segment)))
    }
}
