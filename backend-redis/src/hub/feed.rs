//! The followers of one stream, who share what is read of it. No I/O.

pub(crate) mod feed_handle;
pub(crate) mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;

use streamgate_protocol::{CacheError, CacheResult};

use crate::hub::feed::queue::{Live, LiveBytes, Queue};
use crate::tail::cursor::{Standing, Taken};
use crate::tail::range::{Range, RangeRead, entry_id};
use crate::wire::errors;
use streamgate_backend::entry_id::EntryId;
use streamgate_backend::tail::page_size::PageSize;

/// One who follows.
pub(crate) struct Member {
    pub(super) number: u64,
    pub(super) queue: Arc<Queue>,
    /// What it has seen so far.
    pub(super) standing: Standing,
}

/// One stream, read once for all its followers.
///
/// All that comes behind the feed's place is pushed to all. A member that has seen more than the
/// feed filters; one that has seen less reads up to the place at which it joined by itself.
pub(super) struct Feed {
    standing: Standing,
    page_size: PageSize,
    /// A read is needed.
    pub(super) due: bool,
    members: BTreeMap<u64, Member>,
    /// Members that have seen more than the feed: in another life of the stream, perhaps, of
    /// which the ids would say nothing. So they are confirmed by a check.
    ahead: BTreeMap<u64, EntryId>,
    check: Check,
}

/// A check for the sake of those who are ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    NotNeeded,
    Needed,
    UnderWay,
}

impl Member {
    pub(super) fn new(number: u64, queue: Arc<Queue>, standing: Standing) -> Self {
        Self {
            number,
            queue,
            standing,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Heard only if the hub ends: whoever leaves does not listen, whoever lags knows.
        self.queue.end(errors::hub_ended());
    }
}

impl Feed {
    /// Begins where the first of its members stands.
    pub(super) fn new(standing: Standing) -> Self {
        Self {
            standing,
            page_size: PageSize::new(),
            due: false,
            members: BTreeMap::new(),
            ahead: BTreeMap::new(),
            check: Check::NotNeeded,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn join(&mut self, member: Member) {
        member.queue.join(self.standing.at);
        if member.standing.at > self.standing.at {
            self.ahead.insert(member.number, member.standing.at);
            (self.due, self.check) = (true, Check::Needed);
        }
        self.members.insert(member.number, member);
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.members.remove(&number);
        self.ahead.remove(&number);
    }

    /// The read to make, if one is needed.
    pub(super) fn start(&mut self) -> Option<RangeRead> {
        if !std::mem::take(&mut self.due) {
            return None;
        }
        let mut read = self.standing.read(self.page_size.count());
        if self.check != Check::NotNeeded {
            self.check = Check::UnderWay;
            read.checked = true;
        }
        Some(read)
    }

    /// Takes what a read found. Returns the place behind which there was nothing, if the end was
    /// reached.
    pub(super) fn finish(
        &mut self,
        read: RangeRead,
        range: Range,
        total: &LiveBytes,
    ) -> CacheResult<Option<EntryId>> {
        // Of an earlier feed of this stream.
        if read.at != self.standing.at {
            self.due = true;
            return Ok(None);
        }
        let Some(taken) = self.standing.take(range) else {
            self.due = true;
            return Ok(None);
        };
        let Taken {
            gap,
            entries,
            at_end,
            last_generated,
        } = taken;
        if let Some(gap) = gap {
            // Whoever is ahead may miss something else, or nothing: it looks for itself.
            self.lag_ahead();
            self.members.retain(|_, member| member.queue.push_gap(gap));
        }
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            let (first, last) = (entry_id(first)?, entry_id(last)?);
            self.page_size.saw(&entries);
            self.standing.advance(last, &entries);
            let live = Live::new(entries, first, last, total);
            self.members.retain(|_, member| member.queue.push(&live));
            self.ahead.retain(|_, at| *at > last);
        }
        self.due |= !at_end;
        if at_end && self.check == Check::UnderWay {
            self.confirm(last_generated);
        }
        Ok(at_end.then_some(self.standing.at))
    }

    /// Lets those fall behind who have not taken what they were given.
    pub(super) fn lag_waiting(&mut self) {
        self.members
            .retain(|_, member| member.queue.lag_if_waiting());
    }

    /// Ends all tails.
    pub(super) fn end(&self, error: &CacheError) {
        for member in self.members.values() {
            member.queue.end(error.clone());
        }
    }

    /// The end was reached: who is still ahead has seen what was deleted meanwhile, unless the
    /// stream is another one.
    fn confirm(&mut self, last_generated: Option<EntryId>) {
        self.check = Check::NotNeeded;
        if let Some(&furthest) = self.ahead.values().max() {
            match last_generated {
                Some(end) if end >= furthest => {
                    self.standing.skip_to(end);
                    self.ahead.clear();
                }
                _ => self.lag_ahead(),
            }
        }
    }

    fn lag_ahead(&mut self) {
        for number in std::mem::take(&mut self.ahead).into_keys() {
            if let Some(member) = self.members.remove(&number) {
                member.queue.lag();
            }
        }
    }
}

#[cfg(test)]
mod tests;
