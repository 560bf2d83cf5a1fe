//! One round trip for one stream: a read that arms the key, and reads of groups for waiting
//! consumers.

use std::sync::Arc;

use redis::Value;
use streamgate_protocol::{CacheError, CacheResult, Entry, EntryId};

use crate::connection::command_connection::SendError;
use crate::hub::waiter::GroupReadWaiter;
use crate::operation::entry_sizes::{EntrySizes, SizePlace, at_most};
use crate::tail::range::{RangeReply, RangeRequest};
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands};

/// Bytes of entries that one group read of a probe delivers at most, or one entry.
const MAX_DELIVERED_BYTES: u64 = 1024 * 1024;

/// The commands of one round trip.
pub(super) struct Probe {
    pub(super) stream: Arc<[u8]>,
    /// Whether the first of the following reads arms the key. None does where Redis refuses
    /// `CLIENT TRACKING`.
    pub(super) arms: bool,
    pub(super) read: Option<ArmingRead>,
    /// Whether the last entry of the stream is read first. The polling needs its id. And a consumer
    /// that gets the last entry needs no further probe after it.
    pub(super) find_end: bool,
    /// The feed's read. It arms the key if there is no other.
    pub(super) feed: Option<RangeRequest>,
    /// The consumers for which the group is read, group by group, in the order in which they came.
    ///
    /// Redis may deliver entries to them from now on. So until the reply is there, neither a
    /// deadline nor a cancel ends their waits.
    pub(super) group_reads: Vec<GroupReadWaiter>,
    /// The consumers that cancelled in the last moment, so that no group is read for them.
    pub(super) cancelled: Vec<GroupReadWaiter>,
}

/// An `XREAD`, which also arms the key: Redis pushes its next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArmingRead {
    pub(super) after: EntryId,
    /// Maximum number of entries; 0 for no limit.
    pub(super) count: u64,
}

/// The replies to a probe, each beside what it replies to.
pub(super) struct ProbeReply {
    /// Why the key is not armed, if it should be.
    pub(super) arming_refusal: Option<CacheError>,
    pub(super) read: Option<(ArmingRead, CacheResult<Vec<Entry>>)>,
    /// The id of the last entry before the read, if [`Probe::find_end`]. `0-0` if there was none.
    pub(super) end: Option<CacheResult<EntryId>>,
    pub(super) feed: Option<(RangeRequest, CacheResult<RangeReply>)>,
    pub(super) group_reads: Vec<(GroupReadWaiter, CacheResult<Vec<Entry>>)>,
}

impl ArmingRead {
    /// A read that finds nothing. It arms the key for consumers.
    pub(super) const ARM_ONLY: Self = Self {
        after: EntryId::MAX,
        count: 1,
    };
}

impl ProbeReply {
    /// Records the size of the entries.
    pub(super) fn observe(&self, place: SizePlace, sizes: &EntrySizes) {
        let read = self.read.iter().map(|(_, entries)| entries);
        let delivered = self.group_reads.iter().map(|(_, entries)| entries);
        for entries in read.chain(delivered).flatten() {
            sizes.observe_entries(place, entries);
        }
        for range in self.feed.iter().flat_map(|(_, range)| range) {
            sizes.observe_entries(place, &range.entries);
        }
    }

    /// Returns whether there are entries in any of the replies.
    pub(super) fn has_entries(&self) -> bool {
        let is_nonempty = |result: &CacheResult<Vec<Entry>>| {
            result.as_ref().is_ok_and(|entries| !entries.is_empty())
        };
        self.read
            .as_ref()
            .is_some_and(|(_, result)| is_nonempty(result))
            || self
                .group_reads
                .iter()
                .any(|(_, result)| is_nonempty(result))
            || self.feed.as_ref().is_some_and(|(_, result)| {
                result.as_ref().is_ok_and(|range| !range.entries.is_empty())
            })
    }
}

impl Probe {
    /// Bounds what Redis returns to what is known of the entries' size. Without `needs_end`, a large
    /// last entry is not read only for its id.
    pub(super) fn bound(&mut self, sizes: &EntrySizes, needs_end: bool) {
        let place = sizes.place(&self.stream);
        if let Some(read) = &mut self.read {
            read.count = at_most(read.count, sizes.wait_page(place));
        }
        if let Some(feed) = &mut self.feed {
            feed.count = feed.count.min(sizes.backlog_page(place));
        }
        let delivered = sizes.fitting(place, MAX_DELIVERED_BYTES);
        for consumer in &mut self.group_reads {
            consumer.count = at_most(consumer.count, delivered);
        }
        self.find_end &= needs_end || !sizes.is_large(place);
    }

    /// Sets whether Redis answers `XINFO STREAM`.
    pub(super) fn set_stream_info(&mut self, has_stream_info: bool) {
        if let Some(feed) = &mut self.feed {
            feed.info_is_refused = !has_stream_info;
        }
    }

    /// Encodes the commands, those for consumers that still wait.
    ///
    /// This runs while nothing else can be sent. A consumer that has cancelled by now may have sent
    /// something since; one that cancels later sends it after this group read. So an entry that is
    /// added after a cancel never goes to the consumer that cancelled.
    pub(super) fn encode(&mut self, to: &mut PackedCommands) {
        let group_reads = std::mem::take(&mut self.group_reads);
        let is_cancelled = |consumer: &GroupReadWaiter| consumer.waiter.is_cancelled();
        (self.cancelled, self.group_reads) = group_reads.into_iter().partition(is_cancelled);
        let arm = |to: &mut PackedCommands| {
            if self.arms {
                commands::arm_next(to);
            }
        };
        // Before the group reads, because `XREADGROUP` is a write and arms nothing.
        if self.end_arms() {
            arm(to);
        }
        if self.find_end {
            commands::read_latest(to, &self.stream, 1);
        }
        if let Some(read) = self.read
            && !self.end_arms()
        {
            arm(to);
            commands::read_after(to, &self.stream, read.after, read.count);
        }
        if let Some(feed) = &self.feed {
            if self.read.is_none() {
                arm(to);
            }
            feed.encode(to, &self.stream);
        }
        for consumer in &self.group_reads {
            let (group, name) = (&consumer.slot.key.group, &consumer.name);
            commands::read_group(to, &self.stream, group, name, consumer.count);
        }
    }

    /// Returns whether the read of the last entry takes the place of a read that only arms.
    pub(super) fn end_arms(&self) -> bool {
        self.arms && self.find_end && self.read == Some(ArmingRead::ARM_ONLY)
    }

    /// Decodes the replies. Returns the probe itself if there are none.
    pub(super) fn decode(
        self,
        values: Result<Vec<Value>, SendError>,
    ) -> Result<ProbeReply, Box<(Self, SendError)>> {
        let mut values = match values {
            Ok(values) => values.into_iter(),
            Err(error) => return Err(Box::new((self, error))),
        };
        let values = &mut values;
        let decode_entries =
            |values: &mut std::vec::IntoIter<Value>| answers::stream(answers::next_value(values));
        let mut arming_refusal = None;
        let mut take_arming = |values: &mut std::vec::IntoIter<Value>| {
            if self.arms {
                arming_refusal = answers::done(answers::next_value(values)).err();
            }
        };
        let end_arms = self.end_arms();
        if end_arms {
            take_arming(values);
        }
        let end: Option<CacheResult<EntryId>> = self.find_end.then(|| {
            let rows = answers::rows(answers::next_value(values))?;
            let last = rows.first().map(answers::id_of).transpose()?;
            Ok(last.unwrap_or(EntryId::ZERO))
        });
        let read = self.read.map(|read| {
            if end_arms {
                let found_none = match &end {
                    Some(Err(error)) => Err(error.clone()),
                    _ => Ok(Vec::new()),
                };
                return (read, found_none);
            }
            take_arming(values);
            (read, decode_entries(values))
        });
        let feed = self.feed.map(|feed| {
            if read.is_none() {
                take_arming(values);
            }
            let range = feed.decode(values);
            (feed, range)
        });
        let consumers = self.group_reads.into_iter();
        let group_reads = consumers.map(|consumer| (consumer, decode_entries(values)));
        Ok(ProbeReply {
            read,
            end,
            feed,
            group_reads: group_reads.collect(),
            arming_refusal,
        })
    }
}
