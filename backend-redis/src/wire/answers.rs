//! Decodes the answers of Redis, in RESP2 and in RESP3.
//!
//! Names and values stay bytes. An answer of an unknown shape is a `SERIALIZATION` error of that
//! call.

use redis::Value;
use streamgate_backend::reclaim::step::Reclaimed;
use streamgate_backend::tail::gap::StreamInfo;
use streamgate_protocol::error::code;
use streamgate_protocol::{
    ByteString, CacheError, CacheResult, Claimed, ConsumerInfo, Entry, EntryId, PendingEntry,
    PendingSummary, Skipped,
};

use crate::wire::errors;

/// Largest number that the protocol sends: JavaScript's are not exact beyond it.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Takes the next reply. A missing reply becomes one of an unexpected type, which fails to decode.
pub(crate) fn next_value(values: &mut impl Iterator<Item = Value>) -> Value {
    values.next().unwrap_or(Value::Boolean(false))
}

/// What an `INFO` tells, as far as it is there.
#[derive(Debug, Default)]
pub(crate) struct ServerInfo {
    pub(crate) eviction_policy: Option<String>,
    pub(crate) run_id: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) mode: Option<String>,
}

/// Decodes an `INFO`.
pub(crate) fn server_info(info: Value) -> ServerInfo {
    let info = text(info).unwrap_or_default();
    let find = |name: &str| {
        let mut lines = info.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim_end().to_owned())
    };
    ServerInfo {
        eviction_policy: find("maxmemory_policy"),
        run_id: find("run_id"),
        version: find("redis_version"),
        mode: find("redis_mode"),
    }
}

/// What a `HELLO` tells, as far as it is there.
#[derive(Debug, Default)]
pub(crate) struct Hello {
    pub(crate) client_id: Option<u64>,
    pub(crate) is_replica: bool,
    pub(crate) version: Option<String>,
    /// `standalone`, `cluster` or `sentinel`.
    pub(crate) mode: Option<String>,
}

/// Decodes a `HELLO`.
pub(crate) fn hello(answer: &Value) -> Hello {
    let mut hello = Hello::default();
    let Value::Map(pairs) = answer else {
        return hello;
    };
    for (name, value) in pairs {
        let Value::BulkString(name) = name else {
            continue;
        };
        match (&**name, value) {
            (b"id", Value::Int(id)) => hello.client_id = u64::try_from(*id).ok(),
            (b"role", Value::BulkString(role)) => {
                hello.is_replica = role == b"replica" || role == b"slave";
            }
            (b"version", Value::BulkString(version)) => {
                hello.version = Some(String::from_utf8_lossy(version).into_owned());
            }
            (b"mode", Value::BulkString(mode)) => {
                hello.mode = Some(String::from_utf8_lossy(mode).into_owned());
            }
            _ => {}
        }
    }
    hello
}

/// Decodes an answer that only confirms the command.
pub(crate) fn done(value: Value) -> CacheResult<()> {
    into_result(value).map(drop)
}

/// Decodes the id of an added entry.
pub(crate) fn id(value: Value) -> CacheResult<String> {
    text(into_result(value)?)
}

/// Decodes the entries of an `XRANGE` or `XREVRANGE`.
pub(crate) fn entries(value: Value) -> CacheResult<Vec<Entry>> {
    rows(value)?.into_iter().map(entry).collect()
}

/// A page of a stream that a script has bounded.
#[derive(Debug)]
pub(crate) struct BoundedPage {
    pub(crate) entries: Vec<Entry>,
    /// Whether there may be more that fit.
    pub(crate) has_more: bool,
    /// The id of the entry that follows and does not fit.
    pub(crate) too_large: Option<EntryId>,
}

/// Decodes the answer of `bounded_read.lua`.
pub(crate) fn page(value: Value) -> CacheResult<BoundedPage> {
    let [found, more, too_large] = parts(into_result(value)?, "entries, a flag and an id")?;
    let too_large = text(too_large)?;
    let too_large = (!too_large.is_empty()).then(|| parse_id(&too_large));
    Ok(BoundedPage {
        entries: entries(found)?,
        has_more: number(more)? != 0,
        too_large: too_large.transpose()?,
    })
}

/// Returns the entries of an `XRANGE` or `XREVRANGE`, undecoded.
pub(crate) fn rows(value: Value) -> CacheResult<Vec<Value>> {
    match into_result(value)? {
        Value::Nil => Ok(Vec::new()),
        Value::Array(rows) => Ok(rows),
        _ => Err(errors::unexpected("entries")),
    }
}

/// Decodes the id of an entry, and not its fields, which may be large.
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

/// Parses an id that Redis sent.
pub(crate) fn parse_id(id: &str) -> CacheResult<EntryId> {
    EntryId::parse(id).map_err(|_| errors::unexpected("an entry's id"))
}

/// Returns the bytes of an entry's texts, its id included.
pub(crate) fn bytes_of(row: &Value) -> u64 {
    match row {
        Value::Array(parts) => parts.iter().map(bytes_of).sum(),
        Value::BulkString(text) => text.len() as u64,
        _ => 0,
    }
}

/// Returns the answers of a transaction: of its first two commands, and of the others.
pub(crate) fn two_and_more(value: Value) -> CacheResult<([Value; 2], Vec<Value>)> {
    match into_result(value)? {
        Value::Array(mut answers) if answers.len() >= 2 => {
            let more = answers.split_off(2);
            Ok((parts(Value::Array(answers), "two answers")?, more))
        }
        _ => Err(errors::unexpected("two answers")),
    }
}

/// Decodes the id and the size of an entry, if there is one.
pub(crate) fn entry_size(value: Value) -> CacheResult<Option<(String, u64)>> {
    match into_result(value)? {
        Value::Nil => Ok(None),
        answer => {
            let [id, bytes] = parts(answer, "an id and a size")?;
            Ok(Some((text(id)?, number(bytes)?)))
        }
    }
}

/// Returns the four parts of an answer of a script.
pub(crate) fn four(value: Value) -> CacheResult<[Value; 4]> {
    parts(into_result(value)?, "an answer of four parts")
}

/// Decodes `XINFO STREAM`. Redis answers `ERR` if there is no such stream.
pub(crate) fn stream_info(value: Value) -> CacheResult<StreamInfo> {
    let info = match into_result(value)? {
        // RESP3.
        Value::Map(info) => info,
        // RESP2: names and values in turn.
        Value::Array(list) => in_pairs(list),
        _ => return Err(errors::unexpected("information about a stream")),
    };
    let (mut first, mut last_generated, mut length, mut added) = (None, None, None, None);
    let mut max_deleted = EntryId::ZERO;
    let number = |value: &Value| match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    for (name, value) in info {
        match &*text(name)? {
            "first-entry" if value != Value::Nil => first = Some(id_of(&value)?),
            "last-generated-id" => last_generated = EntryId::parse(&text(value)?).ok(),
            "max-deleted-entry-id" => {
                max_deleted = EntryId::parse(&text(value)?).unwrap_or_default();
            }
            "length" => length = number(&value),
            "entries-added" => added = number(&value),
            _ => {}
        }
    }
    match (last_generated, length, added) {
        (Some(last_generated), Some(length), Some(added)) => {
            let info = StreamInfo::new(first, last_generated, length, added);
            Ok(info.max_deleted(max_deleted))
        }
        _ => Err(errors::unexpected("information about a stream")),
    }
}

/// Decodes a number.
pub(crate) fn number(value: Value) -> CacheResult<u64> {
    match into_result(value)? {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
    .ok_or_else(|| errors::unexpected("a number"))
}

/// Decodes the summary form of `XPENDING`.
pub(crate) fn summary(value: Value) -> CacheResult<PendingSummary> {
    let [count, smallest, greatest, consumers] = parts(into_result(value)?, "a summary")?;
    let optional = |value| match value {
        Value::Nil => Ok(None),
        value => text(value).map(Some),
    };
    let consumer = |value| {
        let [name, count] = parts(value, "a consumer and its count")?;
        let count = text(count)?.parse().ok();
        Ok((
            bytes(name)?,
            count.ok_or_else(|| errors::unexpected("a count"))?,
        ))
    };
    let consumers = rows(consumers)?.into_iter().map(consumer);
    Ok(PendingSummary::new(
        number(count)?,
        optional(smallest)?,
        optional(greatest)?,
        consumers.collect::<CacheResult<_>>()?,
    ))
}

/// Decodes the extended form of `XPENDING`.
pub(crate) fn pending(value: Value) -> CacheResult<Vec<PendingEntry>> {
    let entry = |value| {
        let [id, consumer, idle, deliveries] = parts(value, "a pending entry")?;
        Ok(PendingEntry::new(
            text(id)?,
            bytes(consumer)?,
            clamped_number(idle)?,
            clamped_number(deliveries)?,
        ))
    };
    rows(value)?.into_iter().map(entry).collect()
}

/// Decodes an `XAUTOCLAIM`.
pub(crate) fn claimed(value: Value) -> CacheResult<Claimed> {
    let [cursor, found, deleted] = parts(into_result(value)?, "a cursor, entries and ids")?;
    let deleted = rows(deleted)?.into_iter().map(text);
    Ok(Claimed::new(
        text(cursor)?,
        entries(found)?,
        deleted.collect::<CacheResult<_>>()?,
    ))
}

/// Decodes `XINFO CONSUMERS`. Redis sends them in the order of their names.
pub(crate) fn consumers(value: Value) -> CacheResult<Vec<ConsumerInfo>> {
    // Redis answers `ERR no such key` here, where other commands answer `NOGROUP`.
    if let Value::ServerError(error) = &value
        && error
            .details()
            .is_some_and(|text| text.contains("no such key"))
    {
        let why = "the stream and its consumer group are missing";
        return Err(CacheError::from_code(code::NOGROUP, why));
    }
    let consumer = |value| {
        let fields = match value {
            // RESP3.
            Value::Map(fields) => fields,
            // RESP2: names and values in turn.
            Value::Array(list) => in_pairs(list),
            _ => return Err(errors::unexpected("a consumer")),
        };
        let (mut name, mut pending, mut idle_ms) = (None, None, None);
        for (field, value) in fields {
            match &*text(field)? {
                "name" => name = Some(bytes(value)?),
                "pending" => pending = Some(clamped_number(value)?),
                "idle" => idle_ms = Some(clamped_number(value)?),
                _ => {}
            }
        }
        match (name, pending, idle_ms) {
            (Some(name), Some(pending), Some(idle_ms)) => {
                Ok(ConsumerInfo::new(name, pending, idle_ms))
            }
            _ => Err(errors::unexpected("a consumer")),
        }
    };
    rows(value)?.into_iter().map(consumer).collect()
}

/// Decodes the answer of `reclaim.lua`. Returns also how many entries became dead letters.
pub(crate) fn reclaimed(value: Value) -> CacheResult<(Reclaimed, u64)> {
    let parts_of_answer = parts(into_result(value)?, "entries and a cursor")?;
    let [found, skipped, cursor, since, dead_letters] = parts_of_answer;
    let skipped = rows(skipped)?.into_iter().map(|row| {
        let [id, bytes] = parts(row, "an id and a size")?;
        Ok(Skipped::new(text(id)?, number(bytes)?))
    });
    let skipped = skipped.collect::<CacheResult<_>>()?;
    let since_ms = text(since)?.parse().ok();
    let since_ms = since_ms.ok_or_else(|| errors::unexpected("a time"))?;
    let reclaimed = Reclaimed::new(entries(found)?, text(cursor)?, since_ms).skipped(skipped);
    Ok((reclaimed, number(dead_letters)?))
}

/// Decodes the answer of `remove_consumer.lua`: how many entries it transferred, and whether the
/// consumer is removed.
pub(crate) fn transferred(value: Value) -> CacheResult<(u64, bool)> {
    let [count, last] = parts(into_result(value)?, "two numbers")?;
    Ok((number(count)?, number(last)? != 0))
}

/// Decodes the entries of an `XREAD` or `XREADGROUP` of one stream.
pub(crate) fn stream(value: Value) -> CacheResult<Vec<Entry>> {
    match into_result(value)? {
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

/// Decodes the id of the first entry of an `XREVRANGE`, and not its fields, which may be large.
pub(crate) fn first_id(value: Value) -> CacheResult<Option<String>> {
    let Some(first) = rows(value)?.into_iter().next() else {
        return Ok(None);
    };
    let id = match first {
        Value::Array(parts) => parts.into_iter().next(),
        _ => None,
    };
    id.map_or_else(|| Err(errors::unexpected("an entry")), text)
        .map(Some)
}

/// Returns the answer, or the error that it is.
fn into_result(value: Value) -> CacheResult<Value> {
    match value {
        Value::ServerError(error) => Err(errors::answered(&error)),
        Value::Attribute { data, .. } => into_result(*data),
        value => Ok(value),
    }
}

/// Decodes one entry.
pub(crate) fn entry(value: Value) -> CacheResult<Entry> {
    let Value::Array(parts) = value else {
        return Err(errors::unexpected("an entry"));
    };
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(id), Some(fields), None) => Ok(Entry::new(text(id)?, pairs(fields)?)),
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

/// Decodes a number that may be negative or huge: a clock was set back, or a client claimed with
/// such a value.
fn clamped_number(value: Value) -> CacheResult<u64> {
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

fn pairs(value: Value) -> CacheResult<Vec<(ByteString, ByteString)>> {
    let list = match value {
        // A pending entry that was deleted has no fields.
        Value::Nil => return Ok(Vec::new()),
        Value::Array(list) if list.len() % 2 == 0 => list,
        _ => return Err(errors::unexpected("pairs of field and value")),
    };
    let mut fields = Vec::with_capacity(list.len() / 2);
    let mut list = list.into_iter();
    while let (Some(field), Some(value)) = (list.next(), list.next()) {
        fields.push((bytes(field)?, bytes(value)?));
    }
    Ok(fields)
}

/// Decodes the answer to `HSCAN`: the next cursor, and fields with their values.
pub(crate) fn hash_page(value: Value) -> CacheResult<(String, Vec<(String, String)>)> {
    let [cursor, fields] = parts(into_result(value)?, "a cursor and fields")?;
    let fields = pairs(fields)?;
    let fields = fields
        .into_iter()
        .map(|(field, value)| (field.into_text(), value.into_text()));
    Ok((text(cursor)?, fields.collect()))
}

/// Decodes an id or a word, and replaces bytes that are not UTF-8 with U+FFFD.
pub(crate) fn text(value: Value) -> CacheResult<String> {
    bytes(value).map(ByteString::into_text)
}

fn bytes(value: Value) -> CacheResult<ByteString> {
    match value {
        Value::BulkString(bytes) => Ok(ByteString(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(text.into()),
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

    fn decoded() -> Vec<Entry> {
        vec![Entry::new("1-2", [(&b"f\xff"[..], "v")])]
    }

    #[test]
    fn a_read_is_decoded_in_resp2_and_in_resp3() {
        let resp2 = Value::Array(vec![Value::Array(vec![bulk(b"s"), one_entry()])]);
        let resp3 = Value::Map(vec![(bulk(b"s"), one_entry())]);
        assert_eq!(stream(resp2).unwrap(), decoded());
        assert_eq!(stream(resp3).unwrap(), decoded());
        assert_eq!(stream(Value::Nil).unwrap(), []);
    }

    #[test]
    fn a_deleted_pending_entry_has_no_fields() {
        let value = Value::Array(vec![Value::Array(vec![bulk(b"1-2"), Value::Nil])]);
        assert_eq!(entries(value).unwrap(), [Entry::deleted("1-2")]);
    }

    #[test]
    fn only_the_id_of_the_last_entry_is_decoded() {
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
