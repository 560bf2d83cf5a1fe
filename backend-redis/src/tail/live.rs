//! The part of a tail that comes by the hub.

use std::sync::Arc;

use streamgate_protocol::CacheResult;
use streamgate_protocol::message::Credit;

use crate::hub::{Live, News};
use crate::tail::cursor::Standing;
use crate::tail::page::Part;
use crate::tail::range::{entry_id, seen};
use crate::tail::{Follower, State};
use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::TailEvent;

impl Follower {
    /// The part of a shared segment that was not seen yet, as far as there is room.
    pub(super) fn share(
        &mut self,
        live: Arc<Live>,
        room: Credit,
    ) -> CacheResult<Option<TailEvent>> {
        let entries = live.segment.entries();
        let unseen = if live.first > self.standing.at {
            entries
        } else {
            &entries[seen(entries, self.standing.at)..]
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
        self.standing.advance(last, &unseen[..count]);
        if let Some(seat) = &self.seat
            && last < live.last
        {
            seat.queue.put_back(live);
        }
        Ok(Some(TailEvent::Segment(segment)))
    }

    /// What the hub has. None if that is nothing to pass on; the state says how it goes on.
    pub(super) fn take_news(&mut self, news: News, room: Credit) -> CacheResult<Option<TailEvent>> {
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
            // It did not come to where the feed stood: what is missing there is another matter, and
            // perhaps of a stream that was gone when it looked. It looks for itself.
            News::Gap(_) if self.until.is_some_and(|until| self.standing.at < until) => {
                self.stand_up();
                self.state = State::Behind;
                Ok(None)
            }
            // It has found the same by itself.
            News::Gap(gap) if !gap.recreated && gap.position <= self.standing.at => Ok(None),
            News::Gap(gap) if gap.position == self.standing.at => Ok(None),
            News::Gap(gap) => {
                let after = self.standing.at;
                self.standing = Standing::after(gap.position);
                Ok(Some(TailEvent::Gap(Box::new(gap.gap(after)))))
            }
            News::Lagged => {
                self.stand_up();
                self.state = State::Behind;
                Ok(None)
            }
            News::Ended(error) => Err(error),
        }
    }
}
