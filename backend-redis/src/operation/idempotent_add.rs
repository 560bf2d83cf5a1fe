//! Adds that are asked for again and done once: the script that does them, and its answers.

use std::collections::{HashMap, VecDeque};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::{Script, Value};
use streamgate_protocol::error::code;
use streamgate_protocol::limits::REMEMBERED_MS;
use streamgate_protocol::{CacheError, CacheResult, Operation, Reply};
use tokio::time::Instant;

use crate::connection::resp::PackedCommands;
use crate::wire::commands;
use crate::wire::commands::{CommandWriter, number};
use crate::wire::errors;

/// Adds that one script does, at most: Redis does nothing else meanwhile, for a quarter of a
/// millisecond.
const MAX_RUN: u64 = 128;

/// Slots of a producer's ring, as the script has them.
const SLOTS: u64 = 1_025;

/// Bytes of a slot: 8 digits and an id.
const SLOT_BYTES: usize = 32;

/// Rings of which is known when their time was set anew. Beyond it all are forgotten, and set anew.
const MAX_KNOWN: usize = 8_192;

const ADD_ONCE: &str = include_str!("../wire/scripts/idempotent_add.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(ADD_ONCE));

/// When the time of a ring has to be set anew: not with every script, for that costs Redis as much
/// as half an add.
#[derive(Debug, Default)]
pub(crate) struct TtlRefresh(Mutex<HashMap<String, Instant>>);

/// Adds of one producer, one behind the other and alike, on their way into one script.
pub(crate) struct AddBatch {
    stream: String,
    producer: String,
    first: u64,
    after: u64,
    maxlen: Option<u64>,
    fields: usize,
    count: u64,
    packed: PackedCommands,
}

impl AddBatch {
    /// A run without adds, that an operation begins.
    pub(crate) fn begin(operation: &Operation<'_>) -> Option<Self> {
        match operation {
            Operation::AddOnce {
                stream,
                fields,
                maxlen,
                producer,
                number,
                after,
                ..
            } => Some(Self {
                stream: stream.to_string(),
                producer: producer.to_string(),
                first: *number,
                after: *after,
                maxlen: *maxlen,
                fields: fields.len(),
                count: 0,
                packed: PackedCommands::default(),
            }),
            _ => None,
        }
    }

    /// Takes an add that goes on with this run; whether it does.
    pub(crate) fn take(&mut self, operation: &Operation<'_>) -> bool {
        let Operation::AddOnce {
            stream,
            fields,
            maxlen,
            producer,
            number,
            after,
            ..
        } = operation
        else {
            return false;
        };
        let goes_on = *number == self.first + self.count
            && (self.count == 0 || *after == number - 1)
            && self.count < MAX_RUN
            && *maxlen == self.maxlen
            && fields.len() == self.fields
            && **producer == *self.producer
            && **stream == *self.stream;
        if goes_on {
            commands::fields(&mut self.packed, fields);
            self.count += 1;
        }
        goes_on
    }

    /// Writes the command.
    pub(crate) fn write(self, to: &mut PackedCommands, ttl_refresh: &TtlRefresh) {
        let mut ring = String::with_capacity(18 + self.producer.len() + self.stream.len());
        for part in ["streamgate:once:", &self.producer, ":", &self.stream] {
            ring.push_str(part);
        }
        let sign = if ttl_refresh.is_due(&ring) { "" } else { "-" };
        let width = 2 * self.fields;
        let arguments = usize::try_from(self.count).unwrap_or(usize::MAX) * width;
        to.command("EVALSHA", 10 + arguments);
        to.argument(SCRIPT.get_hash().as_bytes());
        to.argument(b"2");
        to.argument(self.stream.as_bytes());
        to.argument(ring.as_bytes());
        number(to, self.first);
        number(to, self.after);
        to.argument(format!("{sign}{REMEMBERED_MS}").as_bytes());
        to.argument(format!("{:08}={:23}", self.first / SLOTS, "").as_bytes());
        number(to, width as u64);
        match self.maxlen {
            Some(maxlen) => number(to, maxlen),
            None => to.argument(b""),
        }
        to.append(&self.packed);
    }
}

impl TtlRefresh {
    fn is_due(&self, ring: &str) -> bool {
        let now = Instant::now();
        // Nothing that can panic happens under the lock.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get_mut(ring) {
            Some(since)
                if now.duration_since(*since) < Duration::from_millis(REMEMBERED_MS / 4) =>
            {
                return false;
            }
            Some(since) => *since = now,
            None => {
                if known.len() == MAX_KNOWN {
                    known.clear();
                }
                known.insert(ring.to_owned(), now);
            }
        }
        true
    }
}

/// Writes the command that makes the script known to Redis.
pub(crate) fn load(to: &mut impl CommandWriter) {
    to.command("SCRIPT", 2);
    to.argument(b"LOAD");
    to.argument(ADD_ONCE.as_bytes());
}

/// Whether Redis does not know the script, as after a `SCRIPT FLUSH`.
pub(crate) fn is_unknown(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// What came of each add of a run; the last of them came of all that follow too.
pub(crate) fn answered(value: Value) -> VecDeque<CacheResult<Reply>> {
    match value {
        Value::BulkString(slots) => added(&slots).collect(),
        Value::Array(mut parts) => match (parts.pop(), parts.pop(), parts.pop()) {
            (Some(Value::BulkString(refused)), Some(Value::BulkString(slots)), None) => {
                let refused = [Err(refusal(&refused)), Err(out_of_order())];
                added(&slots).chain(refused).collect()
            }
            (Some(_), Some(Value::BulkString(refused)), Some(Value::BulkString(ids))) => ids
                .split(|byte| *byte == b' ')
                .map(|id| answer(id, &refused))
                .collect(),
            _ => VecDeque::new(),
        },
        value if is_unknown(&value) => {
            let why = "Redis has to be told the script again";
            VecDeque::from([Err(CacheError::from_code(code::TRYAGAIN, why))])
        }
        Value::ServerError(error) => VecDeque::from([Err(errors::answered(&error))]),
        _ => VecDeque::new(),
    }
}

/// The ids of slots, of which one more than was asked for does no harm.
fn added(slots: &[u8]) -> impl Iterator<Item = CacheResult<Reply>> {
    slots
        .chunks(SLOT_BYTES)
        .map(|slot| Ok(reply(slot.get(8..).unwrap_or_default())))
}

fn reply(id: &[u8]) -> Reply {
    let id = String::from_utf8_lossy(id.trim_ascii_end()).into_owned();
    Reply::Added { id }
}

fn answer(id: &[u8], refused: &[u8]) -> CacheResult<Reply> {
    match id {
        b"G" => Err(out_of_order()),
        b"S" => Err(CacheError::backend(
            code::SKIPPED,
            "later adds of the same producer were added",
        )),
        b"O" => Err(forgotten(
            "more adds of its producer followed than are remembered",
        )),
        b"E" => Err(refusal(refused)),
        id => Ok(reply(id)),
    }
}

/// Redis's words within a script.
fn refusal(refused: &[u8]) -> CacheError {
    let refused = String::from_utf8_lossy(refused);
    let (code, why) = refused.split_once(' ').unwrap_or((&refused, ""));
    CacheError::from_code(code.trim_start_matches('-'), why)
}

/// The answer to an add of which nothing can be known any more.
pub(crate) fn forgotten(why: &str) -> CacheError {
    CacheError::from_code(code::FORGOTTEN, why)
}

fn out_of_order() -> CacheError {
    CacheError::from_code(code::OUT_OF_ORDER, "an add before it is missing")
}
