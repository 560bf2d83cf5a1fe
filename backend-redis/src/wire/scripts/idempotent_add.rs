//! The script of idempotent adds: its call and its answers.
//!
//! The script is loaded when a connection is opened, and called by its hash.

use std::collections::VecDeque;
use std::sync::LazyLock;

use redis::{Script, Value};
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};

use crate::wire::commands::{CommandWriter, number, text, texts};
use crate::wire::errors;
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::without_comments;

/// Slots of a dedup window, as the script has them.
const SLOTS: u64 = 1_025;

/// Bytes of a slot: 8 digits and an id.
const SLOT_BYTES: usize = 32;

static SOURCE: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("idempotent_add.lua")));

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(&SOURCE));

/// Arguments of one call: `count` adds of `fields` fields each.
pub(crate) struct ScriptCall<'a> {
    pub(crate) stream: &'a str,
    /// Key of the dedup window.
    pub(crate) window: &'a str,
    /// Number of the first add; the others follow without a break.
    pub(crate) first: u64,
    /// Number of the add that must be stored before the first.
    pub(crate) after: u64,
    /// How long the window is kept from now on.
    pub(crate) ttl_ms: u64,
    /// Whether an existing window's time-to-live is set, too.
    pub(crate) refresh_ttl: bool,
    pub(crate) maxlen: Option<u64>,
    pub(crate) fields: usize,
    pub(crate) count: usize,
    /// The encoded names and values of all adds.
    pub(crate) arguments: &'a PackedCommands,
}

/// Loads the script into Redis.
pub(crate) fn load(to: &mut impl CommandWriter) {
    to.command("SCRIPT", 2);
    texts(to, &["LOAD", &SOURCE]);
}

/// Calls the script.
pub(crate) fn call(to: &mut PackedCommands, call: &ScriptCall<'_>) {
    let width = 2 * call.fields;
    to.command("EVALSHA", 10 + call.count * width);
    texts(to, &[SCRIPT.get_hash(), "2", call.stream, call.window]);
    number(to, call.first);
    number(to, call.after);
    let sign = if call.refresh_ttl { "" } else { "-" };
    text(to, &format!("{sign}{}", call.ttl_ms));
    text(to, &format!("{:08}={:23}", call.first / SLOTS, ""));
    number(to, width as u64);
    match call.maxlen {
        Some(maxlen) => number(to, maxlen),
        None => text(to, ""),
    }
    to.append(call.arguments);
}

/// Returns whether Redis does not know the script, as after a `SCRIPT FLUSH` or a restart.
pub(crate) fn is_unknown(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// Decodes the result of each add: the entry's id, or why it was not added.
///
/// There may be fewer results than adds: then the last one, an error, is that of all further adds.
/// There may be one result too many, which means nothing.
pub(crate) fn results(answer: Value) -> VecDeque<CacheResult<String>> {
    match answer {
        Value::BulkString(slots) => ids_of(&slots).collect(),
        Value::Array(mut parts) => match (parts.pop(), parts.pop(), parts.pop()) {
            (Some(Value::BulkString(refusal)), Some(Value::BulkString(slots)), None) => {
                let errors = [Err(refused(&refusal)), Err(out_of_order())];
                ids_of(&slots).chain(errors).collect()
            }
            (Some(_), Some(Value::BulkString(refusal)), Some(Value::BulkString(words))) => words
                .split(|byte| *byte == b' ')
                .map(|word| result_of(word, &refusal))
                .collect(),
            _ => VecDeque::new(),
        },
        answer if is_unknown(&answer) => {
            let why = "Redis does not know the script of idempotent adds; it is loaded again";
            VecDeque::from([Err(CacheError::from_code(code::TRYAGAIN, why))])
        }
        Value::ServerError(error) => VecDeque::from([Err(errors::answered(&error))]),
        _ => VecDeque::new(),
    }
}

/// Returns the error of an add whose outcome is not remembered any more.
pub(crate) fn forgotten(why: &str) -> CacheError {
    CacheError::from_code(code::FORGOTTEN, why)
}

fn ids_of(slots: &[u8]) -> impl Iterator<Item = CacheResult<String>> {
    slots
        .chunks(SLOT_BYTES)
        .map(|slot| Ok(id_text(slot.get(8..).unwrap_or_default())))
}

fn id_text(id: &[u8]) -> String {
    String::from_utf8_lossy(id.trim_ascii_end()).into_owned()
}

fn result_of(word: &[u8], refusal: &[u8]) -> CacheResult<String> {
    match word {
        b"G" => Err(out_of_order()),
        b"S" => Err(CacheError::backend(
            code::SKIPPED,
            "later adds of the same producer were added",
        )),
        b"O" => Err(forgotten(
            "more adds of its producer followed than are remembered",
        )),
        b"E" => Err(refused(refusal)),
        id => Ok(id_text(id)),
    }
}

/// Converts an error of `XADD` in the script.
fn refused(refusal: &[u8]) -> CacheError {
    let refusal = String::from_utf8_lossy(refusal);
    let (code, why) = refusal.split_once(' ').unwrap_or((&refusal, ""));
    CacheError::from_code(code.trim_start_matches('-'), why)
}

fn out_of_order() -> CacheError {
    CacheError::from_code(code::OUT_OF_ORDER, "an add before it is missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn slot(id: &str) -> String {
        format!("00000000{id:24}")
    }

    /// Results as ids and codes of errors.
    fn decoded(answer: Value) -> Vec<String> {
        let results = results(answer).into_iter();
        results
            .map(|result| result.unwrap_or_else(|error| error.code().to_owned()))
            .collect()
    }

    #[test]
    fn slots_are_the_ids_of_the_adds_and_a_mark() {
        let slots = [slot("5-0"), slot("1526919030474-12"), slot("=")].concat();
        assert_eq!(decoded(bulk(&slots)), ["5-0", "1526919030474-12", "="]);
    }

    #[test]
    fn a_refused_add_is_followed_by_out_of_order() {
        let refusal = bulk("OOM command not allowed when used memory > 'maxmemory'.");
        let answer = Value::Array(vec![bulk(&slot("5-0")), refusal.clone()]);
        assert_eq!(decoded(answer), ["5-0", "OOM", "OUT_OF_ORDER"]);
        let answer = Value::Array(vec![bulk(""), refusal]);
        assert_eq!(decoded(answer), ["OOM", "OUT_OF_ORDER"]);
    }

    #[test]
    fn each_word_is_an_id_or_an_error() {
        let words = bulk("5-0 S O E G");
        let refusal = bulk("-WRONGTYPE Operation against a key holding the wrong kind of value");
        let answer = Value::Array(vec![words, refusal, bulk("")]);
        assert_eq!(
            decoded(answer),
            ["5-0", "SKIPPED", "FORGOTTEN", "WRONGTYPE", "OUT_OF_ORDER"]
        );
    }

    #[test]
    fn an_error_of_the_script_is_the_result_of_every_add() {
        let error = |text: &[u8]| redis::parse_redis_value(text).unwrap();
        let unknown = error(b"-NOSCRIPT No matching script. Please use EVAL.\r\n");
        assert!(is_unknown(&unknown));
        assert_eq!(decoded(unknown), ["TRYAGAIN"]);
        let busy = error(b"-BUSY Redis is busy running a script.\r\n");
        assert!(!is_unknown(&busy));
        assert_eq!(decoded(busy), ["BUSY"]);
    }

    #[test]
    fn an_answer_of_another_shape_has_no_result() {
        let shapes = [
            Value::Nil,
            Value::Int(1),
            Value::Array(vec![]),
            Value::Array(vec![bulk("5-0")]),
            Value::Array(vec![Value::Int(1), Value::Int(2), Value::Int(3)]),
        ];
        for shape in shapes {
            assert_eq!(results(shape.clone()).len(), 0, "{shape:?}");
        }
    }

    #[test]
    fn a_call_counts_its_arguments() {
        let mut arguments = PackedCommands::default();
        for argument in ["f", "1", "f", "2"] {
            arguments.argument(argument.as_bytes());
        }
        let mut packed = PackedCommands::default();
        call(
            &mut packed,
            &ScriptCall {
                stream: "s",
                window: "w",
                first: 1_026,
                after: 1_025,
                ttl_ms: 1_000,
                refresh_ttl: false,
                maxlen: None,
                fields: 1,
                count: 2,
                arguments: &arguments,
            },
        );
        let mut expected = redis::cmd("EVALSHA");
        expected
            .arg(SCRIPT.get_hash())
            .arg(&["2", "s", "w", "1026", "1025", "-1000"]);
        expected
            .arg(format!("00000001={:23}", ""))
            .arg(&["2", "", "f", "1", "f", "2"]);
        assert_eq!(packed.bytes, expected.get_packed_command());
    }
}
