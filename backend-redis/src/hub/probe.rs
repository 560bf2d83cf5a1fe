//! One round trip for one stream: a read that arms the key, and reads of groups for waiting
//! consumers.

use std::sync::Arc;

use redis::{Pipeline, RedisError, Value};
use streamgate_protocol::{CacheResult, Entry, EntryId};

use crate::hub::waiter::GroupReadWaiter;
use crate::tail::range::{RangeReply, RangeRequest};
use crate::wire::{answers, commands};

/// The commands of one round trip.
pub(super) struct Probe {
    pub(super) stream: Arc<[u8]>,
    pub(super) read: Option<ArmingRead>,
    /// Whether the last entry of the stream is read first. In fallback mode a read alone does not
    /// arm. And a consumer that gets the last entry needs no further probe after it.
    pub(super) find_end: bool,
    /// The feed's read. It arms too.
    pub(super) feed: Option<RangeRequest>,
    /// The consumers for which the group is read, group by group, in the order in which they came.
    ///
    /// Redis may deliver entries to them from now on. So until the reply is there, neither a
    /// deadline nor a cancel ends their waits.
    pub(super) group_reads: Vec<GroupReadWaiter>,
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
    /// Encodes the commands.
    pub(super) fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(2 + self.group_reads.len());
        // Before the group reads, because `XREADGROUP` is a write and arms nothing.
        if self.find_end {
            commands::read_latest(&mut pipeline, &self.stream, 1);
        }
        if let Some(read) = self.read {
            commands::read_after(&mut pipeline, &self.stream, read.after, read.count);
        }
        if let Some(feed) = &self.feed {
            feed.encode(&mut pipeline, &self.stream);
        }
        for consumer in &self.group_reads {
            let (group, name) = (&consumer.slot.key.group, &consumer.name);
            commands::read_group(&mut pipeline, &self.stream, group, name, consumer.count);
        }
        pipeline
    }

    /// Decodes the replies. Returns the probe itself if there are none.
    pub(super) fn decode(
        self,
        values: Result<Vec<Value>, RedisError>,
    ) -> Result<ProbeReply, Box<(Self, RedisError)>> {
        let mut values = match values {
            Ok(values) => values.into_iter(),
            Err(error) => return Err(Box::new((self, error))),
        };
        let end = self.find_end.then(|| {
            let rows = answers::rows(answers::next_value(&mut values))?;
            let last = rows.first().map(answers::id_of).transpose()?;
            Ok(last.unwrap_or(EntryId::ZERO))
        });
        let decode_entries =
            |values: &mut std::vec::IntoIter<Value>| answers::stream(answers::next_value(values));
        let read = self.read.map(|read| (read, decode_entries(&mut values)));
        let feed = self.feed.map(|feed| {
            let range = feed.decode(&mut values);
            (feed, range)
        });
        let consumers = self.group_reads.into_iter();
        let group_reads = consumers
            .map(|consumer| (consumer, decode_entries(&mut values)))
            .collect();
        Ok(ProbeReply {
            read,
            end,
            feed,
            group_reads,
        })
    }
}
