//! One read of a stream from a tail's position on, with or without the stream's info.
//!
//! The read includes the entry at the position itself. If that entry comes first in the reply, no
//! entry is missing after it.
//!
//! A read can be bounded in bytes. Then it is a script, and its reply holds neither the entry at the
//! position nor those that `XINFO STREAM` returns, which may be large.
//!
//! Where Redis refuses `XINFO STREAM`, the ids of the first and the last entry stand for it.

use redis::Value;
use streamgate_backend::tail::gap::StreamInfo;
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheResult, Entry, EntryId};

use crate::wire::commands::CommandWriter;
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands, errors, scripts};

/// A read from a position on, for [`TailCursor::check`](crate::tail::cursor::TailCursor::check).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeRequest {
    pub(crate) position: EntryId,
    /// Maximum number of entries after the position, plus one if that has no entry.
    pub(crate) count: u64,
    /// Whether `XINFO STREAM` is read in the same transaction.
    pub(crate) with_info: bool,
    /// Ids to look up in the same transaction. Empty unless `with_info`.
    pub(crate) look_up: Vec<EntryId>,
    pub(crate) bound: Option<ByteBound>,
    /// Whether Redis refuses `XINFO STREAM`.
    pub(crate) info_is_refused: bool,
}

/// The bound of a read in bytes of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteBound {
    pub(crate) bytes: u64,
    /// Whether the first entry is read even if it exceeds the bound.
    pub(crate) allow_larger_first: bool,
}

/// The decoded reply to a [`RangeRequest`].
#[derive(Debug)]
pub(crate) struct RangeReply {
    /// Whether the entry at the requested position exists.
    pub(crate) position_exists: bool,
    /// The entries after the position, oldest first.
    pub(crate) entries: Vec<Entry>,
    /// Whether the reply has as many rows as were requested, so that the stream may have more.
    pub(crate) is_full: bool,
    pub(crate) info: InfoReply,
    /// The ids that were to be looked up, and whether the stream has them.
    pub(crate) looked_up: Vec<(EntryId, bool)>,
}

/// The decoded reply to `XINFO STREAM`.
#[derive(Debug)]
pub(crate) enum InfoReply {
    NotRequested,
    NoStream,
    Info(StreamInfo),
    /// The first and the last entry that are left, of a stream about which Redis tells no more.
    Ends(Option<EntryId>, Option<EntryId>),
}

impl RangeRequest {
    /// Returns the commands of this read.
    pub(super) fn packed(&self, stream: &[u8]) -> PackedCommands {
        let mut packed = PackedCommands::default();
        self.encode(&mut packed, stream);
        packed
    }

    /// Appends the commands of this read.
    pub(crate) fn encode(&self, commands: &mut impl CommandWriter, stream: &[u8]) {
        if let Some(ByteBound {
            bytes,
            allow_larger_first,
        }) = self.bound
        {
            let info = match (self.with_info, self.info_is_refused) {
                (false, _) => "0",
                (true, false) => "1",
                (true, true) => "2",
            };
            let flags = [info, if allow_larger_first { "1" } else { "0" }];
            let page = (self.position, self.count, bytes);
            scripts::bounded_range(commands, stream, page, flags, &self.look_up);
        } else if self.with_info {
            commands::transaction(commands, |commands| {
                if self.info_is_refused {
                    commands::range_from(commands, stream, EntryId::ZERO, 1);
                    commands::range_back_from(commands, stream, EntryId::MAX, 1);
                } else {
                    commands::info(commands, stream);
                }
                commands::range_from(commands, stream, self.position, self.rows());
                for id in &self.look_up {
                    commands::range_of_one(commands, stream, &id.to_string());
                }
            });
        } else {
            commands::range_from(commands, stream, self.position, self.rows());
        }
    }

    /// Decodes the replies to the commands that [`encode`](Self::encode) appended.
    pub(crate) fn decode(
        &self,
        values: &mut impl Iterator<Item = Value>,
    ) -> CacheResult<RangeReply> {
        let mut next = || answers::next_value(values);
        if self.bound.is_some() {
            let [info, range, more, looked_up] = answers::four(next())?;
            let info = match info {
                Value::Nil => InfoReply::NotRequested,
                info if self.info_is_refused => decode_ends(info)?,
                info => decode_info(info)?,
            };
            let is_full = answers::number(more)? > 0;
            return Ok(RangeReply {
                is_full,
                looked_up: self.decode_looked_up(answers::rows(looked_up)?)?,
                ..self.decode_rows(range, info)?
            });
        }
        if !self.with_info {
            return self.decode_rows(next(), InfoReply::NotRequested);
        }
        // A command that is refused before `EXEC` gives the reason; the reply to `EXEC` does not.
        let queued = 3 + self.look_up.len() + usize::from(self.info_is_refused);
        for _ in 0..queued {
            answers::done(next())?;
        }
        let ([info, range], mut looked_up) = answers::two_and_more(next())?;
        let (info, range) = if self.info_is_refused {
            let last = range;
            if looked_up.is_empty() {
                return Err(errors::unexpected("a range"));
            }
            let range = looked_up.remove(0);
            (InfoReply::Ends(first_id(info)?, first_id(last)?), range)
        } else {
            (decode_info(info)?, range)
        };
        Ok(RangeReply {
            looked_up: self.decode_looked_up(looked_up)?,
            ..self.decode_rows(range, info)?
        })
    }

    /// Rows to read: one more than `count`, for the entry at the position.
    fn rows(&self) -> u64 {
        self.count.saturating_add(1)
    }

    fn decode_rows(&self, value: Value, info: InfoReply) -> CacheResult<RangeReply> {
        let rows = answers::rows(value)?;
        let is_full = rows.len() as u64 >= self.rows();
        let mut rows = rows.into_iter().peekable();
        let position_exists = match rows.peek() {
            Some(first) => answers::id_of(first)? == self.position,
            None => false,
        };
        // The entry at the position is not decoded: it may be large, and every tail has read it.
        let after = rows.skip(usize::from(position_exists));
        let entries = after.map(answers::entry).collect::<CacheResult<_>>()?;
        Ok(RangeReply {
            position_exists,
            entries,
            is_full,
            info,
            looked_up: Vec::new(),
        })
    }

    fn decode_looked_up(&self, replies: Vec<Value>) -> CacheResult<Vec<(EntryId, bool)>> {
        let found = replies.into_iter().map(answers::rows);
        self.look_up
            .iter()
            .zip(found)
            .map(|(id, found)| Ok((*id, !found?.is_empty())))
            .collect()
    }
}

/// Decodes `XINFO STREAM`.
pub(super) fn decode_info(info: Value) -> CacheResult<InfoReply> {
    match answers::stream_info(info) {
        Ok(info) => Ok(InfoReply::Info(info)),
        Err(error) if error.code() == code::ERR => Ok(InfoReply::NoStream),
        Err(error) => Err(error),
    }
}

/// Decodes the ids of the first and the last entry, which a script returns for a stream that has any.
fn decode_ends(ends: Value) -> CacheResult<InfoReply> {
    match answers::two_and_more(ends) {
        Ok(([first, last], _)) => Ok(InfoReply::Ends(
            Some(answers::parse_id(&answers::text(first)?)?),
            Some(answers::parse_id(&answers::text(last)?)?),
        )),
        Err(error) if error.code() == code::SERIALIZATION => Ok(InfoReply::Ends(None, None)),
        Err(error) => Err(error),
    }
}

/// Decodes the id of the first of some rows.
pub(super) fn first_id(rows: Value) -> CacheResult<Option<EntryId>> {
    let rows = answers::rows(rows)?;
    rows.first().map(answers::id_of).transpose()
}

/// Parses the id of an entry that Redis sent.
pub(crate) fn entry_id(entry: &Entry) -> CacheResult<EntryId> {
    answers::parse_id(&entry.id)
}

/// Counts the entries up to and including a position. The entries must be in order.
pub(crate) fn count_up_to(entries: &[Entry], position: EntryId) -> usize {
    entries.partition_point(|entry| entry_id(entry).is_ok_and(|id| id <= position))
}

/// Removes the entries after a position. Returns whether there were any.
pub(crate) fn truncate_after(entries: &mut Vec<Entry>, position: EntryId) -> bool {
    let kept = count_up_to(entries, position);
    let removes_any = kept < entries.len();
    entries.truncate(kept);
    removes_any
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

    fn request_from_5(with_info: bool) -> RangeRequest {
        RangeRequest {
            position: EntryId::parse("5-0").unwrap(),
            count: 2,
            with_info,
            look_up: Vec::new(),
            bound: None,
            info_is_refused: false,
        }
    }

    fn ids(reply: &RangeReply) -> Vec<&str> {
        reply
            .entries
            .iter()
            .map(|entry| entry.id.as_str())
            .collect()
    }

    #[test]
    fn the_entry_at_the_position_is_not_among_the_entries() {
        let rows = Value::Array(vec![row("5-0"), row("6-0")]);
        let reply = request_from_5(false)
            .decode(&mut [rows].into_iter())
            .unwrap();
        assert_eq!((reply.position_exists, reply.is_full), (true, false));
        assert_eq!(ids(&reply), ["6-0"]);
    }

    #[test]
    fn a_missing_entry_at_the_position_is_reported() {
        let rows = Value::Array(vec![row("6-0"), row("7-0"), row("8-0")]);
        let reply = request_from_5(false)
            .decode(&mut [rows].into_iter())
            .unwrap();
        assert_eq!((reply.position_exists, reply.is_full), (false, true));
        assert_eq!(ids(&reply), ["6-0", "7-0", "8-0"]);
    }

    #[test]
    fn a_request_with_info_returns_the_stream_info() {
        let info = Value::Map(vec![
            (bulk("length"), Value::Int(1)),
            (bulk("last-generated-id"), bulk("6-0")),
            (bulk("entries-added"), Value::Int(3)),
            (bulk("first-entry"), row("6-0")),
        ]);
        let queued = || Value::SimpleString("QUEUED".to_owned());
        let done = Value::Array(vec![info, Value::Array(vec![row("6-0")])]);
        let values = [Value::Okay, queued(), queued(), done];
        let reply = request_from_5(true)
            .decode(&mut values.into_iter())
            .unwrap();
        let InfoReply::Info(info) = reply.info else {
            panic!("expected stream info, got {:?}", reply.info)
        };
        let id = EntryId::parse("6-0").unwrap();
        assert_eq!((info.first, info.last_generated), (Some(id), id));
        assert_eq!((info.length, info.added), (1, 3));
        assert_eq!(ids(&reply), ["6-0"]);
    }

    #[test]
    fn ids_are_looked_up_in_the_same_transaction() {
        let mut request = request_from_5(true);
        request.look_up = ["3-0", "4-0"].map(|id| EntryId::parse(id).unwrap()).into();
        let info = Value::Map(vec![
            (bulk("length"), Value::Int(1)),
            (bulk("last-generated-id"), bulk("4-0")),
            (bulk("entries-added"), Value::Int(3)),
            (bulk("first-entry"), row("4-0")),
        ]);
        let queued = || Value::SimpleString("QUEUED".to_owned());
        let rows = |rows| Value::Array(rows);
        let replies = vec![info, rows(vec![]), rows(vec![]), rows(vec![row("4-0")])];
        let mut values = vec![Value::Okay];
        values.extend(std::iter::repeat_with(queued).take(4));
        values.push(Value::Array(replies));
        let reply = request.decode(&mut values.into_iter()).unwrap();
        let expected = [(request.look_up[0], false), (request.look_up[1], true)];
        assert_eq!(reply.looked_up, expected);
    }

    #[test]
    fn a_missing_reply_fails_the_read() {
        let values = [Value::Okay];
        let reply = request_from_5(true).decode(&mut values.into_iter());
        assert_eq!(reply.unwrap_err().code(), "SERIALIZATION");
    }

    #[test]
    fn entries_are_counted_and_truncated_at_a_position_between_two() {
        let position = EntryId::parse("2-5").unwrap();
        let entry = |n| Entry::new(format!("{n}-0"), [("f", "v")]);
        let mut entries: Vec<Entry> = (1..=4).map(entry).collect();
        assert_eq!(count_up_to(&entries, position), 2);
        assert!(truncate_after(&mut entries, position));
        assert_eq!(entries.len(), 2);
        assert!(!truncate_after(&mut entries, position));
    }
}
