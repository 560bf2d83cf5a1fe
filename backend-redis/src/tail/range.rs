//! The read from where a tail stands. It includes the entry it stands at: if that comes first,
//! nothing is missing behind it.

use redis::Value;
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheResult, StreamEntry};

use crate::wire::commands::CommandWriter;
use crate::wire::{answers, commands, errors};
use streamgate_backend::tail::gap::StreamInfo;
use streamgate_protocol::EntryId;

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RangeRequest {
    pub(crate) at: EntryId,
    /// At most so many entries behind it.
    pub(crate) count: u64,
    /// Together with what the stream says of itself, at the same moment.
    pub(crate) checked: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct RangeReply {
    /// The entry that the tail stands at is there.
    pub(crate) present: bool,
    /// Those behind it, oldest first.
    pub(crate) entries: Vec<StreamEntry>,
    /// There may be more.
    pub(crate) full: bool,
    pub(crate) known: InfoReply,
}

/// What the stream says of itself.
#[derive(Debug)]
pub(crate) enum InfoReply {
    NotRequested,
    NoStream,
    Info(StreamInfo),
}

impl RangeRequest {
    pub(crate) fn add_to(self, commands: &mut impl CommandWriter, stream: &str) {
        if self.checked {
            commands::transaction(commands, |commands| {
                commands::info(commands, stream);
                commands::range_from(commands, stream, self.at, self.rows());
            });
        } else {
            commands::range_from(commands, stream, self.at, self.rows());
        }
    }

    /// Reads the answers to what [`add_to`](Self::add_to) added.
    pub(crate) fn answered(
        self,
        values: &mut impl Iterator<Item = Value>,
    ) -> CacheResult<RangeReply> {
        // An answer that is missing is one of unknown shape.
        let mut next = || values.next().unwrap_or(Value::Boolean(false));
        if !self.checked {
            return self.range(next(), InfoReply::NotRequested);
        }
        let [begun, info, range, done] = [next(), next(), next(), next()];
        // What is refused before the transaction says why, unlike the transaction.
        for queued in [begun, info, range] {
            answers::done(queued)?;
        }
        let [info, range] = answers::pair(done)?;
        let known = match answers::stream_info(info) {
            Ok(facts) => InfoReply::Info(facts),
            Err(error) if error.code() == code::ERR => InfoReply::NoStream,
            Err(error) => return Err(error),
        };
        self.range(range, known)
    }

    /// One more than wanted, for the entry that the tail stands at.
    fn rows(self) -> u64 {
        self.count.saturating_add(1)
    }

    fn range(self, value: Value, known: InfoReply) -> CacheResult<RangeReply> {
        let rows = answers::rows(value)?;
        let full = rows.len() as u64 >= self.rows();
        let mut rows = rows.into_iter().peekable();
        let present = match rows.peek() {
            Some(first) => answers::id_of(first)? == self.at,
            None => false,
        };
        // Not decoded: it may be large, and everybody has it.
        let behind = rows.skip(usize::from(present));
        let entries = behind.map(answers::entry).collect::<CacheResult<_>>()?;
        Ok(RangeReply {
            present,
            entries,
            full,
            known,
        })
    }
}

/// The id of an entry that Redis sent.
pub(crate) fn entry_id((id, _): &StreamEntry) -> CacheResult<EntryId> {
    EntryId::parse(id).map_err(|_| errors::unexpected("an entry's id"))
}

/// How many of the entries are not behind a place.
pub(crate) fn seen(entries: &[StreamEntry], at: EntryId) -> usize {
    entries.partition_point(|entry| entry_id(entry).is_ok_and(|id| id <= at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn row(id: &str) -> Value {
        Value::Array(vec![bulk(id), Value::Array(vec![bulk("f"), bulk("v")])])
    }

    fn read(checked: bool) -> RangeRequest {
        RangeRequest {
            at: EntryId::parse("5-0").unwrap(),
            count: 2,
            checked,
        }
    }

    fn ids(range: &RangeReply) -> Vec<&str> {
        range.entries.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn the_entry_one_stands_at_is_dropped() {
        let rows = Value::Array(vec![row("5-0"), row("6-0")]);
        let range = read(false).answered(&mut [rows].into_iter()).unwrap();
        assert_eq!(
            (range.present, range.full, ids(&range)),
            (true, false, vec!["6-0"])
        );
        let rows = Value::Array(vec![row("6-0"), row("7-0"), row("8-0")]);
        let range = read(false).answered(&mut [rows].into_iter()).unwrap();
        assert_eq!((range.present, range.full), (false, true));
        assert_eq!(ids(&range), ["6-0", "7-0", "8-0"]);
    }

    #[test]
    fn a_check_reads_what_the_stream_says_of_itself() {
        let info = Value::Map(vec![
            (bulk("length"), Value::Int(1)),
            (bulk("last-generated-id"), bulk("6-0")),
            (bulk("entries-added"), Value::Int(3)),
            (bulk("first-entry"), row("6-0")),
        ]);
        let queued = || Value::SimpleString("QUEUED".to_owned());
        let done = Value::Array(vec![info, Value::Array(vec![row("6-0")])]);
        let answers = [Value::Okay, queued(), queued(), done];
        let range = read(true).answered(&mut answers.into_iter()).unwrap();
        let InfoReply::Info(facts) = range.known else {
            panic!("there is a stream")
        };
        let id = EntryId::parse("6-0").unwrap();
        assert_eq!((facts.first, facts.last_generated), (Some(id), id));
        assert_eq!((facts.length, facts.added), (1, 3));
        assert_eq!(ids(&range), ["6-0"]);
    }

    #[test]
    fn an_answer_too_few_is_an_error_of_that_read() {
        let answers = [Value::Okay];
        let range = read(true).answered(&mut answers.into_iter());
        assert_eq!(range.unwrap_err().code(), "SERIALIZATION");
    }
}
