//! Lua scripts and their arguments, such as page sizes: steps of several commands that must be
//! atomic.
//!
//! Most scripts are sent whole every time: Redis compiles a script once, and finds it again by its
//! text, and none of these is sent often enough for its bytes to count. The script of idempotent
//! adds is sent by its hash.

pub(crate) mod idempotent_add;
pub(crate) mod script_access;

use std::sync::LazyLock;

use redis::Value;
use streamgate_backend::perform_options::MAX_LISTED_CONSUMERS;
use streamgate_backend::reclaim::dead_letter::MAX_DEAD_LETTER_FIELDS;
use streamgate_backend::reclaim::step::{ReclaimStep, STEP_ENTRIES};
use streamgate_protocol::EntryId;
use streamgate_protocol::limits::FIELD_BYTES;
use streamgate_protocol::subscribe::{DEAD_LETTER_FIELDS, DEAD_LETTER_REASON};

use crate::operation::entry_sizes::{ENTRY_BYTES, PAGE_BYTES};
use crate::wire::commands::{CommandWriter, arguments, number, text};

static MISSING_COMMANDS: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/missing_commands.lua")));
static RECLAIM: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/reclaim.lua")));
static BOUNDED_RANGE: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/bounded_range.lua")));
static BOUNDED_BACK: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/bounded_back.lua")));
static BOUNDED_READ: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/bounded_read.lua")));
static BOUNDED_READ_GROUP: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/bounded_read_group.lua")));
static BOUNDED_GROUP: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/bounded_group.lua")));
static BOUNDED_ENTRIES: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/bounded_entries.lua")));
static LAST_ID: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/last_id.lua")));
static NEXT_ENTRY: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/next_entry.lua")));
static REMOVE_CONSUMER: LazyLock<String> =
    LazyLock::new(|| without_comments(include_str!("scripts/remove_consumer.lua")));

/// Most entries that one run of the script transfers: Redis does nothing else meanwhile.
pub(crate) const TRANSFER_PAGE: u64 = 100;

/// Most entries that one run of a script reads: it needs a millisecond or two for them.
pub(crate) const MAX_SCRIPT_ENTRIES: u64 = 512;

/// Most groups of a stream and bytes of consumers' names for which a group's consumers are listed.
const MAX_GROUPS: u64 = 10_000;
const MAX_CONSUMER_BYTES: u64 = 1024 * 1024;

/// The direction of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forwards,
    Backwards,
}

/// Runs a script that changes nothing, which tells whether Redis runs scripts, and with which
/// commands of idempotent adds.
pub(crate) fn try_script(to: &mut impl CommandWriter) {
    to.command("EVAL", 3);
    arguments(
        to,
        &[MISSING_COMMANDS.as_bytes(), b"1", idempotent_add::PROBE_KEY],
    );
}

/// Decodes the answer to [`try_script`]: the commands that scripts may not run, if there are any.
pub(crate) fn missing_commands(answer: &Value) -> Option<String> {
    match answer {
        Value::BulkString(names) if !names.is_empty() => {
            Some(String::from_utf8_lossy(names).into_owned())
        }
        _ => None,
    }
}

/// Runs one step of reclaiming idle pending entries of a group.
pub(crate) fn reclaim(to: &mut impl CommandWriter, step: &ReclaimStep) {
    let dead_letter = step.dead_letter.as_ref();
    let (keys, more) = match dead_letter {
        Some(_) => (2, 4 + DEAD_LETTER_FIELDS.len()),
        None => (1, 0),
    };
    to.command("EVAL", 2 + keys + 10 + more);
    text(to, &RECLAIM);
    number(to, keys as u64);
    to.argument(&step.stream);
    if let Some(dead_letter) = dead_letter {
        to.argument(&dead_letter.stream);
    }
    arguments(to, &[&step.group, &step.consumer, step.cursor.as_bytes()]);
    number(to, step.min_idle_ms);
    number(to, step.count);
    number(to, STEP_ENTRIES as u64);
    match step.since_ms {
        Some(since_ms) => number(to, since_ms),
        None => text(to, ""),
    }
    number(to, MAX_DEAD_LETTER_FIELDS as u64);
    number(to, step.max_bytes);
    number(to, step.max_entry_bytes);
    if let Some(dead_letter) = dead_letter {
        number(to, dead_letter.max_deliveries);
        text(to, DEAD_LETTER_REASON);
        to.argument(step.dead_letter_source());
        match dead_letter.maxlen {
            Some(maxlen) => number(to, maxlen),
            None => text(to, ""),
        }
        arguments(to, &DEAD_LETTER_FIELDS.map(str::as_bytes));
    }
}

/// Transfers one page of a consumer's pending entries, and removes the consumer after the last.
pub(crate) fn remove_consumer(
    to: &mut impl CommandWriter,
    stream: &[u8],
    group: &[u8],
    consumer: &[u8],
    new_owner: &[u8],
) {
    to.command("EVAL", 7);
    text(to, &REMOVE_CONSUMER);
    number(to, 1);
    arguments(to, &[stream, group, consumer, new_owner]);
    number(to, TRANSFER_PAGE);
}

/// Reads a page whose texts have `max_bytes` at most; if `allow_larger_first` is 1, at least one
/// entry. `info` is 1 for what the stream reports of itself, 2 for its first and last id, 0 for
/// nothing. Looks up ids, too.
pub(crate) fn bounded_range(
    to: &mut impl CommandWriter,
    stream: &[u8],
    (position, count, max_bytes): (EntryId, u64, u64),
    [info, allow_larger_first]: [&str; 2],
    look_up: &[EntryId],
) {
    to.command("EVAL", 8 + look_up.len());
    let position = position.to_string();
    arguments(
        to,
        &[BOUNDED_RANGE.as_bytes(), b"1", stream, position.as_bytes()],
    );
    number(to, count);
    number(to, max_bytes);
    text(to, info);
    text(to, allow_larger_first);
    for id in look_up {
        text(to, &id.to_string());
    }
}

/// Counts entries backwards from an id, inclusive.
pub(crate) fn bounded_back(to: &mut impl CommandWriter, stream: &[u8], from: EntryId, count: u64) {
    to.command("EVAL", 5);
    let from = from.to_string();
    arguments(
        to,
        &[BOUNDED_BACK.as_bytes(), b"1", stream, from.as_bytes()],
    );
    number(to, count);
}

/// Reads a page, forwards or backwards from an id, exclusive; without an id, from the end. The page
/// ends after `count` entries or [`PAGE_BYTES`], and before its entries exceed `max_bytes`. If
/// `allow_larger_first`, it has at least one entry.
pub(crate) fn bounded_read(
    to: &mut impl CommandWriter,
    stream: &[u8],
    (direction, from): (Direction, Option<EntryId>),
    (count, max_bytes): (u64, u64),
    allow_larger_first: bool,
) {
    to.command("EVAL", 12);
    arguments(to, &[BOUNDED_READ.as_bytes(), b"1", stream]);
    let (command, [start, stop]) = match direction {
        Direction::Forwards => ("XRANGE", ["-", "+"]),
        Direction::Backwards => ("XREVRANGE", ["+", "-"]),
    };
    text(to, command);
    match from {
        Some(from) => text(to, &format!("({from}")),
        None => text(to, start),
    }
    text(to, stop);
    number(to, count);
    number(to, PAGE_BYTES);
    number(to, max_bytes);
    text(to, if allow_larger_first { "1" } else { "0" });
    number(to, ENTRY_BYTES);
    number(to, FIELD_BYTES as u64);
}

/// Delivers up to `count` of a group's next entries that count for `max_bytes` at most, or one.
pub(crate) fn bounded_read_group(
    to: &mut impl CommandWriter,
    [stream, group, consumer]: [&[u8]; 3],
    (count, max_bytes): (u64, u64),
) {
    to.command("EVAL", 9);
    let script = BOUNDED_READ_GROUP.as_bytes();
    arguments(to, &[script, b"1", stream, group, consumer]);
    number(to, count);
    number(to, max_bytes);
    number(to, ENTRY_BYTES);
    number(to, FIELD_BYTES as u64);
}

/// Sums up the pending entries of a group, unless it has too many consumers.
pub(crate) fn bounded_pending_summary(to: &mut impl CommandWriter, stream: &[u8], group: &[u8]) {
    bounded_group(to, stream, "XPENDING", group);
}

/// Lists the consumers of a group, unless it has too many.
pub(crate) fn bounded_consumers(to: &mut impl CommandWriter, stream: &[u8], group: &[u8]) {
    bounded_group(to, stream, "XINFO", group);
}

fn bounded_group(to: &mut impl CommandWriter, stream: &[u8], command: &str, group: &[u8]) {
    to.command("EVAL", 8);
    let script = BOUNDED_GROUP.as_bytes();
    arguments(to, &[script, b"1", stream, command.as_bytes(), group]);
    number(to, MAX_GROUPS);
    number(to, MAX_LISTED_CONSUMERS as u64);
    number(to, MAX_CONSUMER_BYTES);
}

/// Reads the first of the entries with these ids that count for `max_bytes` at most, at least one.
pub(crate) fn bounded_entries(
    to: &mut impl CommandWriter,
    stream: &[u8],
    ids: &[String],
    max_bytes: u64,
) {
    to.command("EVAL", 6 + ids.len());
    arguments(to, &[BOUNDED_ENTRIES.as_bytes(), b"1", stream]);
    number(to, max_bytes);
    number(to, ENTRY_BYTES);
    number(to, FIELD_BYTES as u64);
    for id in ids {
        text(to, id);
    }
}

/// Reads the last entry of a stream without its fields.
pub(crate) fn last_id(to: &mut impl CommandWriter, stream: &[u8]) {
    to.command("EVAL", 3);
    arguments(to, &[LAST_ID.as_bytes(), b"1", stream]);
}

/// Finds the id and the size of the first entry after a position.
pub(crate) fn next_entry(to: &mut impl CommandWriter, stream: &[u8], position: EntryId) {
    to.command("EVAL", 4);
    let position = position.to_string();
    arguments(
        to,
        &[NEXT_ENTRY.as_bytes(), b"1", stream, position.as_bytes()],
    );
}

/// Returns a script without lines of comment and indentation, which Redis need not receive.
fn without_comments(source: &str) -> String {
    let lines = source.lines().map(str::trim_start);
    let lines: Vec<_> = lines.filter(|line| !line.starts_with("--")).collect();
    lines.join("\n")
}
