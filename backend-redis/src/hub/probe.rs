//! One round trip for one stream: a read that arms the key, and group_reads for waiting consumers.

use std::sync::Arc;

use redis::{Pipeline, RedisError, Value};
use streamgate_protocol::{CacheResult, StreamEntry};

use crate::hub::message::GroupReadWaiter;
use crate::tail::range::{RangeReply, RangeRequest};
use crate::wire::{answers, commands};
use streamgate_protocol::EntryId;

/// What to ask of Redis about one stream.
pub(super) struct Probe {
    pub(super) stream: Arc<str>,
    pub(super) read: Option<ArmingRead>,
    /// The read's arming is not enough: where the stream ends is looked for before it.
    pub(super) find_end: bool,
    /// The followers' read. It arms too.
    pub(super) feed: Option<RangeRequest>,
    /// In the order in which they came, group by group.
    pub(super) group_reads: Vec<GroupRead>,
}

/// A read, which also arms the key: its next change is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArmingRead {
    pub(super) after: EntryId,
    /// At most so many entries; 0 for no limit.
    pub(super) count: u64,
}

/// A consumer for which the group is read. From here on it may have been handed entries, so
/// neither its deadline nor its leaving ends the wait before the answer is there.
pub(super) struct GroupRead {
    pub(super) group: Arc<str>,
    pub(super) consumer: GroupReadWaiter,
}

/// What came of a probe, with one answer for each thing asked.
pub(super) struct ProbeReply {
    pub(super) read: Option<(ArmingRead, CacheResult<Vec<StreamEntry>>)>,
    /// The last entry there was before the read, if that was looked for: 0-0 if there was none.
    pub(super) end: Option<CacheResult<EntryId>>,
    pub(super) feed: Option<(RangeRequest, CacheResult<RangeReply>)>,
    pub(super) group_reads: Vec<(GroupRead, CacheResult<Vec<StreamEntry>>)>,
}

impl ArmingRead {
    /// Finds nothing: arms the key for consumers alone.
    pub(super) const ARM: Self = Self {
        after: EntryId::MAX,
        count: 1,
    };
}

impl ProbeReply {
    /// Whether there was anything new.
    pub(super) fn is_useful(&self) -> bool {
        let found = |result: &CacheResult<Vec<StreamEntry>>| {
            result.as_ref().is_ok_and(|entries| !entries.is_empty())
        };
        self.read.as_ref().is_some_and(|(_, result)| found(result))
            || self.group_reads.iter().any(|(_, result)| found(result))
            || self.feed.as_ref().is_some_and(|(_, result)| {
                result.as_ref().is_ok_and(|range| !range.entries.is_empty())
            })
    }
}

impl Probe {
    pub(super) fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(2 + self.group_reads.len());
        // First of all, because reading a group is a write and arms nothing.
        if self.find_end {
            commands::read_latest(&mut pipeline, &self.stream, 1);
        }
        if let Some(read) = self.read {
            commands::read_after(&mut pipeline, &self.stream, read.after, read.count);
        }
        if let Some(feed) = self.feed {
            feed.add_to(&mut pipeline, &self.stream);
        }
        for GroupRead { group, consumer } in &self.group_reads {
            let (name, count) = (&consumer.name, consumer.count);
            commands::read_group(&mut pipeline, &self.stream, group, name, count);
        }
        pipeline
    }

    /// Puts the answers beside what was asked; gives everything back if there are none.
    pub(super) fn answered(
        self,
        values: Result<Vec<Value>, RedisError>,
    ) -> Result<ProbeReply, Box<(Self, RedisError)>> {
        let mut values = match values {
            Ok(values) => values.into_iter(),
            Err(error) => return Err(Box::new((self, error))),
        };
        // An answer that is missing is one of unknown shape.
        let next = |values: &mut std::vec::IntoIter<Value>| {
            answers::stream(values.next().unwrap_or(Value::Boolean(false)))
        };
        let Self {
            read,
            find_end,
            feed,
            group_reads,
            ..
        } = self;
        let end = find_end.then(|| {
            let rows = answers::rows(values.next().unwrap_or(Value::Boolean(false)))?;
            let last = rows.first().map(answers::id_of).transpose()?;
            Ok(last.unwrap_or(EntryId::ZERO))
        });
        let read = read.map(|read| (read, next(&mut values)));
        let feed = feed.map(|feed| (feed, feed.answered(&mut values)));
        let group_reads = group_reads.into_iter();
        let group_reads = group_reads
            .map(|asked| (asked, next(&mut values)))
            .collect();
        Ok(ProbeReply {
            read,
            end,
            feed,
            group_reads,
        })
    }
}
