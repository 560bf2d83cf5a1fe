//! Answers of Redis, decoded.
//!
//! Bytes that are not UTF-8 become U+FFFD: a value that some other program wrote must not wedge
//! the readers of a stream.

use redis::Value;
use streamgate_protocol::{CacheResult, Claimed, PendingEntry, PendingSummary, StreamEntry};

use crate::wire::errors;
use streamgate_backend::reclaim::step::Reclaimed;
use streamgate_backend::tail::gap::StreamInfo;
use streamgate_protocol::EntryId;

/// The largest number that the protocol sends: beyond it, JavaScript's are not exact.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// An answer that says no more than that the command was done.
pub(crate) fn done(value: Value) -> CacheResult<()> {
    settle(value).map(drop)
}

/// The id of an added entry.
pub(crate) fn id(value: Value) -> CacheResult<String> {
    text(settle(value)?)
}

/// The entries of an `XREVRANGE`.
pub(crate) fn entries(value: Value) -> CacheResult<Vec<StreamEntry>> {
    rows(value)?.into_iter().map(entry).collect()
}

/// The same, not decoded.
pub(crate) fn rows(value: Value) -> CacheResult<Vec<Value>> {
    match settle(value)? {
        Value::Nil => Ok(Vec::new()),
        Value::Array(rows) => Ok(rows),
        _ => Err(errors::unexpected("entries")),
    }
}

/// The id of an entry; its fields, which may be large, are left alone.
pub(crate) fn id_of(row: &Value) -> CacheResult<EntryId> {
    let id = match row {
        Value::Array(parts) => parts.first(),
        _ => None,
    };
    match id {
        Some(Value::BulkString(id)) => std::str::from_utf8(id)
            .ok()
            .and_then(|id| EntryId::parse(id).ok()),
        _ => None,
    }
    .ok_or_else(|| errors::unexpected("an entry"))
}

/// Bytes of the texts of an entry, its id among them.
pub(crate) fn bytes_of(row: &Value) -> u64 {
    match row {
        Value::Array(parts) => parts.iter().map(bytes_of).sum(),
        Value::BulkString(text) => text.len() as u64,
        _ => 0,
    }
}

/// What a transaction of two commands answers.
pub(crate) fn pair(value: Value) -> CacheResult<[Value; 2]> {
    parts(settle(value)?, "two answers")
}

/// What `XINFO STREAM` says. An `ERR` means that there is no such stream.
pub(crate) fn facts(value: Value) -> CacheResult<StreamInfo> {
    let facts = match settle(value)? {
        // RESP3.
        Value::Map(facts) => facts,
        // RESP2: names and values in turns.
        Value::Array(list) => in_pairs(list),
        _ => return Err(errors::unexpected("facts about a stream")),
    };
    let (mut first, mut last_generated, mut length, mut added) = (None, None, None, None);
    let number = |value: &Value| match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    for (name, value) in facts {
        match &*text(name)? {
            "first-entry" if value != Value::Nil => first = Some(id_of(&value)?),
            "last-generated-id" => last_generated = EntryId::parse(&text(value)?).ok(),
            "length" => length = number(&value),
            "entries-added" => added = number(&value),
            _ => {}
        }
    }
    match (last_generated, length, added) {
        (Some(last_generated), Some(length), Some(added)) => {
            Ok(StreamInfo::new(first, last_generated, length, added))
        }
        _ => Err(errors::unexpected("facts about a stream")),
    }
}

/// An integer.
pub(crate) fn number(value: Value) -> CacheResult<u64> {
    match settle(value)? {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
    .ok_or_else(|| errors::unexpected("a number"))
}

/// What `XPENDING` says of a group as a whole.
pub(crate) fn summary(value: Value) -> CacheResult<PendingSummary> {
    let [count, smallest, greatest, consumers] = parts(settle(value)?, "a summary")?;
    let optional = |value| match value {
        Value::Nil => Ok(None),
        value => text(value).map(Some),
    };
    let consumer = |value| {
        let [name, count] = parts(value, "a consumer and its count")?;
        let count = text(count)?.parse().ok();
        Ok((
            text(name)?,
            count.ok_or_else(|| errors::unexpected("a count"))?,
        ))
    };
    Ok(PendingSummary {
        count: number(count)?,
        smallest: optional(smallest)?,
        greatest: optional(greatest)?,
        consumers: rows(consumers)?
            .into_iter()
            .map(consumer)
            .collect::<CacheResult<_>>()?,
    })
}

/// The entries of an `XPENDING`.
pub(crate) fn pending(value: Value) -> CacheResult<Vec<PendingEntry>> {
    let entry = |value| {
        let [id, consumer, idle, deliveries] = parts(value, "a pending entry")?;
        Ok(PendingEntry {
            id: text(id)?,
            consumer: text(consumer)?,
            idle_ms: at_least_0(idle)?,
            deliveries: at_least_0(deliveries)?,
        })
    };
    rows(value)?.into_iter().map(entry).collect()
}

/// What an `XAUTOCLAIM` gave.
pub(crate) fn claimed(value: Value) -> CacheResult<Claimed> {
    let [cursor, found, deleted] = parts(settle(value)?, "a cursor, entries and ids")?;
    Ok(Claimed {
        cursor: text(cursor)?,
        entries: entries(found)?,
        deleted: rows(deleted)?
            .into_iter()
            .map(text)
            .collect::<CacheResult<_>>()?,
    })
}

/// What one step of a round over pending entries gave.
pub(crate) fn taken_over(value: Value) -> CacheResult<Reclaimed> {
    let [found, cursor, since] = parts(settle(value)?, "entries, a cursor and a time")?;
    let since_ms = text(since)?.parse().ok();
    let since_ms = since_ms.ok_or_else(|| errors::unexpected("a time"))?;
    Ok(Reclaimed::new(entries(found)?, text(cursor)?, since_ms))
}

/// How many entries a consumer handed over, and whether these were the last.
pub(crate) fn handed_over(value: Value) -> CacheResult<(u64, bool)> {
    let [count, last] = parts(settle(value)?, "two numbers")?;
    Ok((number(count)?, number(last)? != 0))
}

/// The entries of an `XREAD` or `XREADGROUP` of one stream.
pub(crate) fn stream(value: Value) -> CacheResult<Vec<StreamEntry>> {
    match settle(value)? {
        Value::Nil => Ok(Vec::new()),
        // RESP3: a map from the stream's key to its entries.
        Value::Map(streams) => match streams.into_iter().next() {
            Some((_, found)) => entries(found),
            None => Ok(Vec::new()),
        },
        // RESP2: a list of pairs.
        Value::Array(streams) => match streams.into_iter().next() {
            Some(Value::Array(pair)) if pair.len() == 2 => pair
                .into_iter()
                .nth(1)
                .map_or_else(|| Ok(Vec::new()), entries),
            Some(_) => Err(errors::unexpected("a stream and its entries")),
            None => Ok(Vec::new()),
        },
        _ => Err(errors::unexpected("streams")),
    }
}

/// The id of the first entry of an `XREVRANGE`; its fields, which may be large, are left alone.
pub(crate) fn first_id(value: Value) -> CacheResult<Option<String>> {
    match settle(value)? {
        Value::Nil => Ok(None),
        Value::Array(entries) => match entries.into_iter().next() {
            Some(Value::Array(parts)) => {
                let id = parts
                    .into_iter()
                    .next()
                    .ok_or_else(|| errors::unexpected("an entry"))?;
                text(id).map(Some)
            }
            Some(_) => Err(errors::unexpected("an entry")),
            None => Ok(None),
        },
        _ => Err(errors::unexpected("entries")),
    }
}

/// The answer itself, or the error that it is.
fn settle(value: Value) -> CacheResult<Value> {
    match value {
        Value::ServerError(error) => Err(errors::answered(&error)),
        Value::Attribute { data, .. } => settle(*data),
        value => Ok(value),
    }
}

/// One entry.
pub(crate) fn entry(value: Value) -> CacheResult<StreamEntry> {
    let Value::Array(parts) = value else {
        return Err(errors::unexpected("an entry"));
    };
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(id), Some(fields), None) => Ok((text(id)?, pairs(fields)?)),
        _ => Err(errors::unexpected("an entry of an id and fields")),
    }
}

fn parts<const N: usize>(value: Value, wanted: &str) -> CacheResult<[Value; N]> {
    match value {
        Value::Array(parts) => <[Value; N]>::try_from(parts).ok(),
        _ => None,
    }
    .ok_or_else(|| errors::unexpected(wanted))
}

/// A number that a clock set back, or whoever claims, may have made negative or huge.
fn at_least_0(value: Value) -> CacheResult<u64> {
    match value {
        Value::Int(number) => Ok(u64::try_from(number).unwrap_or(0).min(MAX_NUMBER)),
        _ => Err(errors::unexpected("a number")),
    }
}

fn in_pairs(list: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(list.len() / 2);
    let mut list = list.into_iter();
    while let (Some(first), Some(second)) = (list.next(), list.next()) {
        pairs.push((first, second));
    }
    pairs
}

fn pairs(value: Value) -> CacheResult<Vec<(String, String)>> {
    let list = match value {
        // The entry was deleted while it was pending.
        Value::Nil => return Ok(Vec::new()),
        Value::Array(list) if list.len() % 2 == 0 => list,
        _ => return Err(errors::unexpected("pairs of field and value")),
    };
    let mut fields = Vec::with_capacity(list.len() / 2);
    let mut list = list.into_iter();
    while let (Some(field), Some(value)) = (list.next(), list.next()) {
        fields.push((text(field)?, text(value)?));
    }
    Ok(fields)
}

fn text(value: Value) -> CacheResult<String> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())),
        Value::SimpleString(text) => Ok(text),
        _ => Err(errors::unexpected("a string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    fn one_entry() -> Value {
        Value::Array(vec![Value::Array(vec![
            bulk(b"1-2"),
            Value::Array(vec![bulk(b"f\xff"), bulk(b"v")]),
        ])])
    }

    fn decoded() -> Vec<StreamEntry> {
        vec![("1-2".into(), vec![("f\u{fffd}".into(), "v".into())])]
    }

    #[test]
    fn both_protocols_shapes_of_a_read_are_understood() {
        let resp2 = Value::Array(vec![Value::Array(vec![bulk(b"s"), one_entry()])]);
        let resp3 = Value::Map(vec![(bulk(b"s"), one_entry())]);
        assert_eq!(stream(resp2).unwrap(), decoded());
        assert_eq!(stream(resp3).unwrap(), decoded());
        assert_eq!(stream(Value::Nil).unwrap(), []);
    }

    #[test]
    fn a_deleted_pending_entry_has_no_fields() {
        let value = Value::Array(vec![Value::Array(vec![bulk(b"1-2"), Value::Nil])]);
        assert_eq!(entries(value).unwrap(), [("1-2".to_owned(), vec![])]);
    }

    #[test]
    fn only_the_id_of_a_last_entry_is_decoded() {
        assert_eq!(first_id(one_entry()).unwrap().as_deref(), Some("1-2"));
        assert_eq!(first_id(Value::Array(vec![])).unwrap(), None);
    }

    #[test]
    fn an_unknown_shape_is_an_error_of_that_call() {
        let odd = Value::Array(vec![Value::Array(vec![
            bulk(b"1-2"),
            Value::Array(vec![bulk(b"field without value")]),
        ])]);
        let shapes = [
            Value::Int(1),
            Value::Array(vec![Value::Int(1)]),
            Value::Boolean(true),
            odd,
        ];
        for shape in shapes {
            assert_eq!(
                entries(shape.clone()).unwrap_err().code(),
                "SERIALIZATION",
                "{shape:?}"
            );
        }
        assert_eq!(stream(Value::Int(1)).unwrap_err().code(), "SERIALIZATION");
        assert_eq!(id(Value::Int(1)).unwrap_err().code(), "SERIALIZATION");
        assert_eq!(first_id(Value::Int(1)).unwrap_err().code(), "SERIALIZATION");
    }
}
