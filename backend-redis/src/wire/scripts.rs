//! Steps of several commands that must be one: scripts that Redis runs.
//!
//! Each is sent whole every time. Redis compiles it once and finds it again by its text, and none of
//! them is sent often enough for its bytes to count. The one that is, adds once, is in `once.rs`.

use streamgate_protocol::subscribe::{DEAD_LETTER_FIELDS, DEAD_LETTER_REASON};

use crate::wire::commands::{CommandWriter, number, text, texts};
use streamgate_backend::reclaim::dead_letter::MAX_DEAD_LETTER_FIELDS;
use streamgate_backend::reclaim::step::{ReclaimStep, STEP_ENTRIES};

const RECLAIM: &str = include_str!("scripts/reclaim.lua");
const REMOVE_CONSUMER: &str = include_str!("scripts/remove_consumer.lua");

/// Entries that are handed over in one step, at most: Redis does nothing else meanwhile.
pub(crate) const HAND_OVER_PAGE: u64 = 100;

/// One step of a round over the pending entries of a group.
pub(crate) fn reclaim(to: &mut impl CommandWriter, step: &ReclaimStep) {
    let dead_letter = step.dead_letter.as_ref();
    let (keys, more) = match dead_letter {
        Some(_) => (2, 2 + DEAD_LETTER_FIELDS.len()),
        None => (1, 0),
    };
    to.command("EVAL", 2 + keys + 8 + more);
    text(to, RECLAIM);
    number(to, keys as u64);
    text(to, &step.stream);
    if let Some(dead_letter) = dead_letter {
        text(to, &dead_letter.stream);
    }
    texts(to, &[&step.group, &step.consumer, &step.cursor]);
    number(to, step.min_idle_ms);
    number(to, step.count);
    number(to, STEP_ENTRIES as u64);
    match step.since_ms {
        Some(since_ms) => number(to, since_ms),
        None => text(to, ""),
    }
    number(to, MAX_DEAD_LETTER_FIELDS as u64);
    if let Some(dead_letter) = dead_letter {
        number(to, dead_letter.max_deliveries);
        text(to, DEAD_LETTER_REASON);
        texts(to, &DEAD_LETTER_FIELDS);
    }
}

/// Hands over one part of what a consumer holds, and with the last part removes it.
pub(crate) fn remove_consumer(
    to: &mut impl CommandWriter,
    stream: &str,
    group: &str,
    consumer: &str,
    heir: &str,
) {
    to.command("EVAL", 7);
    text(to, REMOVE_CONSUMER);
    number(to, 1);
    texts(to, &[stream, group, consumer, heir]);
    number(to, HAND_OVER_PAGE);
}
