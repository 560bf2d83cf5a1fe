//! The script of idempotent adds: its call and its answers.
//!
//! The script is loaded when a connection is opened, and called by its hash.

use std::collections::VecDeque;
use std::sync::LazyLock;

use redis::{Script, Value};
use streamgate_protocol::error::code;
use streamgate_protocol::limits::{ADDS_REMEMBERED, REMEMBERED_MS};
use streamgate_protocol::{CacheError, EntryId};

use crate::wire::commands::{CommandWriter, arguments, number, text};
use crate::wire::errors;
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::script_access::ScriptAccess;
use crate::wire::scripts::without_comments;

/// How often a window's time-to-live is set: not with every script call, because that costs Redis
/// as much as half an add.
pub(crate) const TTL_REFRESH_MS: u64 = REMEMBERED_MS / 4;

/// A window's time-to-live. It lasts for [`REMEMBERED_MS`] after an add even if the next refresh
/// was just about to come, and the add reached Redis as late as a refresh later.
const TTL_MS: u64 = REMEMBERED_MS + 2 * TTL_REFRESH_MS;

/// Records that trimming a window leaves. Each is of one add at least.
const RECORDS_KEPT: u64 = ADDS_REMEMBERED;

/// Records beyond which a window is trimmed. Trimming costs as much as an add.
const MAX_RECORDS: u64 = RECORDS_KEPT + 64;

/// A key of the same kind as dedup windows, to try what the user may do. It is never written.
pub(crate) const PROBE_KEY: &[u8] = b"streamgate:once:{probe}:probe";

/// Most adds of one script call: Redis does nothing else meanwhile, for a quarter of a millisecond.
/// A window's record counts them in one byte.
pub(crate) const MAX_ADDS: u8 = 128;

static SOURCE: LazyLock<String> = LazyLock::new(|| {
    let script = without_comments(include_str!("idempotent_add.lua"));
    format!("local TTL, KEEP, MOST = {TTL_MS}, {RECORDS_KEPT}, {MAX_RECORDS}\n{script}")
});

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(&SOURCE));

/// Arguments of one call: `count` adds of `fields` fields each.
pub(crate) struct ScriptCall<'a> {
    pub(crate) stream: &'a [u8],
    /// Key of the dedup window.
    pub(crate) window: &'a [u8],
    /// Number of the first add; the others follow without a break.
    pub(crate) first: u64,
    /// Number of the add that must be stored before the first; 0 for none.
    pub(crate) after: u64,
    /// Whether the window's time-to-live is due, although the window exists.
    pub(crate) refresh_ttl: bool,
    /// Whether an unknown producer may be one whose window Redis has evicted. Then none of the
    /// adds is stored.
    pub(crate) may_be_forgotten: bool,
    pub(crate) maxlen: Option<u64>,
    pub(crate) fields: usize,
    pub(crate) count: u8,
    /// The encoded names and values of all adds.
    pub(crate) arguments: &'a PackedCommands,
}

/// What became of the adds of one call, in order.
#[derive(Debug, PartialEq)]
pub(crate) enum ScriptAnswer {
    /// All are stored, under this id and those that follow it.
    Consecutive(EntryId),
    /// One result for each add.
    Each(VecDeque<AddResult>),
    /// No add has a result.
    Failed(CacheError),
}

/// What became of one add.
#[derive(Debug, PartialEq)]
pub(crate) enum AddResult {
    Stored(String),
    /// An earlier add is missing. The last number that is stored.
    OutOfOrder {
        last: u64,
    },
    Skipped,
    Forgotten,
    Refused(CacheError),
}

/// Loads the script into Redis.
pub(crate) fn load(to: &mut impl CommandWriter) {
    to.command("SCRIPT", 2);
    arguments(to, &[b"LOAD", SOURCE.as_bytes()]);
}

/// Calls the script.
pub(crate) fn call(to: &mut PackedCommands, call: &ScriptCall<'_>) {
    to.command("EVALSHA", 7 + usize::from(call.count) * 2 * call.fields);
    arguments(to, &[SCRIPT.get_hash().as_bytes(), b"2", call.stream]);
    to.argument(call.window);
    match call.maxlen {
        Some(maxlen) => number(to, maxlen),
        None => text(to, ""),
    }
    let before = call.first - 1;
    let mut place = five_bytes(before).to_vec();
    // Without more, the script takes the usual case for granted.
    if call.after != before || call.refresh_ttl || call.may_be_forgotten {
        place.extend(five_bytes(call.after));
        place.extend(call.may_be_forgotten.then_some(b'F'));
        place.extend(call.refresh_ttl.then_some(b'T'));
    }
    to.argument(&place);
    let [a, b, c, d, e] = five_bytes(before + u64::from(call.count));
    to.argument(&[call.count, a, b, c, d, e]);
    to.append(call.arguments);
}

/// Calls a script that Redis does not know: it answers `NOSCRIPT`, unless the user may not call
/// scripts or may not use the keys of dedup windows.
pub(crate) fn try_call(to: &mut impl CommandWriter) {
    to.command("EVALSHA", 3);
    let unknown = [b'0'; 40];
    arguments(to, &[&unknown, b"1", PROBE_KEY]);
}

/// Returns whether Redis does not know the script, as after a `SCRIPT FLUSH` or a restart.
pub(crate) fn is_unknown(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// Decodes the answer to a call. Records that the user may no longer call scripts: adds are plain
/// ones from then on.
pub(crate) fn decode(answer: Value, access: &ScriptAccess) -> ScriptAnswer {
    let decoded = match answer {
        Value::BulkString(ids) => decode_ids(&ids),
        Value::Array(parts) => decode_words(&parts),
        answer if is_unknown(&answer) => {
            let why = "Redis does not know the script of idempotent adds; it is loaded again";
            return ScriptAnswer::Failed(CacheError::from_code(code::TRYAGAIN, why));
        }
        Value::ServerError(error) => {
            let error = errors::answered(&error);
            // A command that is refused within the script comes too late: adds may be stored.
            let is_call = error.message().to_ascii_lowercase().contains("evalsha");
            if is_call && access.record(&error) {
                let why = "Redis refuses scripts from now on; the add can be sent again";
                return ScriptAnswer::Failed(CacheError::from_code(code::TRYAGAIN, why));
            }
            return ScriptAnswer::Failed(error);
        }
        _ => None,
    };
    decoded.unwrap_or_else(|| ScriptAnswer::Failed(errors::unexpected("ids")))
}

/// Encodes the number of an add, which is at most
/// [`MAX_PRODUCER_NUMBER`](streamgate_protocol::limits::MAX_PRODUCER_NUMBER).
const fn five_bytes(number: u64) -> [u8; 5] {
    let [_, _, _, a, b, c, d, e] = number.to_be_bytes();
    [a, b, c, d, e]
}

fn decode_ids(ids: &[u8]) -> Option<ScriptAnswer> {
    let ids = std::str::from_utf8(ids).ok()?;
    if !ids.contains(' ') {
        return EntryId::parse(ids).ok().map(ScriptAnswer::Consecutive);
    }
    let ids = ids.split(' ').map(|id| AddResult::Stored(id.to_owned()));
    Some(ScriptAnswer::Each(ids.collect()))
}

fn decode_words(parts: &[Value]) -> Option<ScriptAnswer> {
    let [
        Value::BulkString(words),
        Value::BulkString(refusal),
        Value::Int(last),
    ] = parts
    else {
        return None;
    };
    let last = u64::try_from(*last).ok()?;
    let words = std::str::from_utf8(words).ok()?;
    let results = words.split_ascii_whitespace().map(|word| match word {
        "G" => AddResult::OutOfOrder { last },
        "S" => AddResult::Skipped,
        "O" => AddResult::Forgotten,
        "E" => AddResult::Refused(refused(refusal)),
        id => AddResult::Stored(id.to_owned()),
    });
    Some(ScriptAnswer::Each(results.collect()))
}

/// Converts an error of `XADD` in the script.
fn refused(refusal: &[u8]) -> CacheError {
    let refusal = String::from_utf8_lossy(refusal);
    let (code, why) = refusal.split_once(' ').unwrap_or((&refusal, ""));
    CacheError::from_code(code.trim_start_matches('-'), errors::without_script(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn decoded(answer: Value) -> ScriptAnswer {
        decode(answer, &ScriptAccess::default())
    }

    fn stored(id: &str) -> AddResult {
        AddResult::Stored(id.to_owned())
    }

    #[test]
    fn one_id_stands_for_all_that_follow_it() {
        let expected = ScriptAnswer::Consecutive(EntryId::new(1_526_919_030_474, 12));
        assert_eq!(decoded(bulk("1526919030474-12")), expected);
    }

    #[test]
    fn several_ids_are_one_for_each_add() {
        let expected = ScriptAnswer::Each([stored("5-0"), stored("6-0")].into());
        assert_eq!(decoded(bulk("5-0 6-0")), expected);
    }

    #[test]
    fn each_word_is_an_id_or_what_became_of_the_add() {
        let words = bulk("5-0 S O E G G ");
        let refusal = bulk("-WRONGTYPE Operation against a key holding the wrong kind of value");
        let wrong_type = "Operation against a key holding the wrong kind of value";
        let expected = [
            stored("5-0"),
            AddResult::Skipped,
            AddResult::Forgotten,
            AddResult::Refused(CacheError::from_code(code::WRONGTYPE, wrong_type)),
            AddResult::OutOfOrder { last: 7 },
            AddResult::OutOfOrder { last: 7 },
        ];
        assert_eq!(
            decoded(Value::Array(vec![words, refusal, Value::Int(7)])),
            ScriptAnswer::Each(expected.into())
        );
    }

    #[test]
    fn an_error_of_the_script_is_no_result() {
        let code_of = |answer| match decoded(answer) {
            ScriptAnswer::Failed(error) => error.code().to_owned(),
            other => panic!("{other:?}"),
        };
        let error = |text: &[u8]| redis::parse_redis_value(text).unwrap();
        let unknown = error(b"-NOSCRIPT No matching script. Please use EVAL.\r\n");
        assert!(is_unknown(&unknown));
        assert_eq!(code_of(unknown), "TRYAGAIN");
        let busy = error(b"-BUSY Redis is busy running a script.\r\n");
        assert!(!is_unknown(&busy));
        assert_eq!(code_of(busy), "BUSY");
        let other_shapes = [
            Value::Nil,
            Value::Int(1),
            bulk("no-id"),
            Value::Array(vec![]),
            Value::Array(vec![bulk("5-0")]),
            Value::Array(vec![Value::Int(1), Value::Int(2), Value::Int(3)]),
        ];
        for shape in other_shapes {
            assert_eq!(code_of(shape.clone()), "SERIALIZATION", "{shape:?}");
        }
    }

    fn packed(after: u64, refresh_ttl: bool, may_be_forgotten: bool) -> Vec<u8> {
        let mut arguments = PackedCommands::default();
        for argument in ["f", "1", "f", "2"] {
            arguments.argument(argument.as_bytes());
        }
        let mut packed = PackedCommands::default();
        call(
            &mut packed,
            &ScriptCall {
                stream: b"s",
                window: b"w",
                first: 256,
                after,
                refresh_ttl,
                may_be_forgotten,
                maxlen: None,
                fields: 1,
                count: 2,
                arguments: &arguments,
            },
        );
        packed.bytes
    }

    fn expected(place: &[u8]) -> Vec<u8> {
        let mut expected = redis::cmd("EVALSHA");
        expected.arg(SCRIPT.get_hash()).arg(&["2", "s", "w", ""]);
        expected.arg(place).arg(b"\x02\0\0\0\x01\x01");
        expected.arg(&["f", "1", "f", "2"]);
        expected.get_packed_command()
    }

    #[test]
    fn the_usual_call_has_only_the_number_before_the_first() {
        assert_eq!(packed(255, false, false), expected(b"\0\0\0\0\xff"));
    }

    #[test]
    fn any_other_call_has_the_preceding_add_and_flags() {
        let of_predecessor = |number: u8, flags: &[u8]| {
            expected(&[b"\0\0\0\0\xff\0\0\0\0", &[number][..], flags].concat())
        };
        assert_eq!(packed(3, false, false), of_predecessor(3, b""));
        assert_eq!(packed(255, true, false), of_predecessor(255, b"T"));
        assert_eq!(packed(0, true, true), of_predecessor(0, b"FT"));
    }
}
