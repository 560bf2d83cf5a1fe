//! One round trip for one stream: a read that arms the key, and tries for waiting consumers.

use std::sync::Arc;

use redis::{Pipeline, RedisError, Value};
use streamgate_protocol::{CacheResult, StreamEntry};

use crate::hub::message::Consumer;
use crate::tail::range::{Range, RangeRead};
use crate::wire::{answers, commands};
use streamgate_backend::entry_id::EntryId;

/// What to ask of Redis about one stream.
pub(super) struct Visit {
    pub(super) stream: Arc<str>,
    pub(super) read: Option<Read>,
    /// The read's arming is not enough: where the stream ends is looked for before it.
    pub(super) find_end: bool,
    /// The followers' read. It arms too.
    pub(super) feed: Option<RangeRead>,
    /// In the order in which they came, group by group.
    pub(super) tries: Vec<Try>,
}

/// A read, which also arms the key: its next change is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) after: EntryId,
    /// At most so many entries; 0 for no limit.
    pub(super) count: u64,
}

/// A consumer for which the group is read. From here on it may have been handed entries, so
/// neither its deadline nor its leaving ends the wait before the answer is there.
pub(super) struct Try {
    pub(super) group: Arc<str>,
    pub(super) consumer: Consumer,
}

/// What came of a visit, with one answer for each thing asked.
pub(super) struct Visited {
    pub(super) read: Option<(Read, CacheResult<Vec<StreamEntry>>)>,
    /// The last entry there was before the read, if that was looked for: 0-0 if there was none.
    pub(super) end: Option<CacheResult<EntryId>>,
    pub(super) feed: Option<(RangeRead, CacheResult<Range>)>,
    pub(super) tries: Vec<(Try, CacheResult<Vec<StreamEntry>>)>,
}

impl Read {
    /// Finds nothing: arms the key for consumers alone.
    pub(super) const ARM: Self = Self {
        after: EntryId::MAX,
        count: 1,
    };
}

impl Visited {
    /// Whether there was anything new.
    pub(super) fn is_useful(&self) -> bool {
        let found = |result: &CacheResult<Vec<StreamEntry>>| {
            result.as_ref().is_ok_and(|entries| !entries.is_empty())
        };
        self.read.as_ref().is_some_and(|(_, result)| found(result))
            || self.tries.iter().any(|(_, result)| found(result))
            || self.feed.as_ref().is_some_and(|(_, result)| {
                result.as_ref().is_ok_and(|range| !range.entries.is_empty())
            })
    }
}

impl Visit {
    pub(super) fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(2 + self.tries.len());
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
        for Try { group, consumer } in &self.tries {
            let (name, count) = (&consumer.name, consumer.count);
            commands::read_group(&mut pipeline, &self.stream, group, name, count);
        }
        pipeline
    }

    /// Puts the answers beside what was asked; gives everything back if there are none.
    pub(super) fn answered(
        self,
        values: Result<Vec<Value>, RedisError>,
    ) -> Result<Visited, Box<(Self, RedisError)>> {
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
            tries,
            ..
        } = self;
        let end = find_end.then(|| {
            let rows = answers::rows(values.next().unwrap_or(Value::Boolean(false)))?;
            let last = rows.first().map(answers::id_of).transpose()?;
            Ok(last.unwrap_or(EntryId::ZERO))
        });
        let read = read.map(|read| (read, next(&mut values)));
        let feed = feed.map(|feed| (feed, feed.answered(&mut values)));
        let tries = tries.into_iter();
        let tries = tries.map(|asked| (asked, next(&mut values))).collect();
        Ok(Visited {
            read,
            end,
            feed,
            tries,
        })
    }
}
