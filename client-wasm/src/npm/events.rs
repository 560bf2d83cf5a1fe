//! The events that JavaScript receives: `onEvent(kind, id, a, b, c)`.
//!
//! | kind | id | a | b | c |
//! |---|---|---|---|---|
//! | `FAILED`: a request failed, or a subscription is over | its | code | message | retry |
//! | `VALUE`: a request is done | the request's | an add: the entry's id; an ack, a removal: a number | | |
//! | `ENTRIES`: a read is done | the request's | entries | the id to read after next, or undefined | |
//! | `DONE`: a request without a result is done | the request's | | | |
//! | `STATE`: the state changed | the close code, or 0 | the state | the reason, or undefined | the code of the error that explains the state, or undefined |
//! | `PUSHED`: a subscription received entries | the subscription's | entries | the position, or undefined | their bytes |
//! | `GAP`: a tail met a gap of trimmed entries | the subscription's | after | first, or undefined | position |
//! | `GAP_RECREATED`: a gap, because the stream was recreated | the same | | | |
//! | `GAP_ROLLED_BACK`: a gap, because the stream lost its newest entries | the same | | | |
//! | `SKIPPED`: an entry cannot be carried | the subscription's | its id | its bytes | the reason |
//! | `PENDING`: a request about pending entries is done | the request's | see below | | |
//! | `TOKEN`: the client needs a token | 1 if it must be another one than the last, else 0 | | | |
//!
//! For `PENDING`, `a` is a flat list. Of a summary: the count, the smallest id, the greatest one,
//! then name, count, name, count … Of a list of entries: for each its id, consumer, idle time and
//! number of deliveries. Of a list of consumers: for each its name, number of entries and idle time.
//! Of a claim, `a` are entries, `b` is the cursor, and `c` are the ids that were deleted.
//!
//! A name or a value is a string if it is UTF-8, else a `Uint8Array`.
//!
//! Entries are one flat list, which costs less on both sides than nested lists: for each its id,
//! the number of its fields, then name, value, name, value …

use js_sys::{Array, Function, Uint8Array};
use streamgate_client::{CacheError, CacheResult, ConnectionState, Entry};
use streamgate_protocol::close;
use streamgate_protocol::message::{Credit, Item};
use streamgate_protocol::{ByteString, GapReason, Reply};
use wasm_bindgen::JsValue;

/// The kinds of events. `npm/src/events.js` has the same, which a test compares.
mod kind {
    pub(super) const FAILED: u32 = 0;
    pub(super) const VALUE: u32 = 1;
    pub(super) const ENTRIES: u32 = 2;
    pub(super) const DONE: u32 = 3;
    pub(super) const STATE: u32 = 4;
    pub(super) const PUSHED: u32 = 5;
    pub(super) const GAP: u32 = 6;
    pub(super) const GAP_RECREATED: u32 = 7;
    pub(super) const GAP_ROLLED_BACK: u32 = 8;
    pub(super) const SKIPPED: u32 = 9;
    pub(super) const PENDING: u32 = 10;
    pub(super) const TOKEN: u32 = 11;
}

/// Reports the result of a request, or the error that ended a subscription.
pub(super) fn finished(on_event: &Function, id: u64, result: CacheResult<Reply>) {
    let none = || JsValue::UNDEFINED;
    let (kind, a, b, c) = match result {
        Ok(Reply::Added { id: entry }) => (kind::VALUE, entry.into(), none(), none()),
        Ok(Reply::Acknowledged { count } | Reply::Removed { handed_over: count }) => {
            (kind::VALUE, (count as f64).into(), none(), none())
        }
        Ok(Reply::Entries {
            entries, last_id, ..
        }) => {
            let entries = flat_entries(&entries).into();
            (kind::ENTRIES, entries, last_id.into(), none())
        }
        Ok(Reply::Summary(summary)) => {
            let list = list([
                (summary.count as f64).into(),
                summary.smallest.into(),
                summary.greatest.into(),
            ]);
            for (name, count) in summary.consumers {
                push(&list, [text_or_bytes(&name), (count as f64).into()]);
            }
            (kind::PENDING, list.into(), none(), none())
        }
        Ok(Reply::Pending { entries }) => {
            let list = Array::new();
            for entry in entries {
                push(
                    &list,
                    [
                        entry.id.into(),
                        text_or_bytes(&entry.consumer),
                        (entry.idle_ms as f64).into(),
                        (entry.deliveries as f64).into(),
                    ],
                );
            }
            (kind::PENDING, list.into(), none(), none())
        }
        Ok(Reply::Claimed(claimed)) => {
            let deleted = Array::new();
            for id in claimed.deleted {
                deleted.push(&id.into());
            }
            let entries = flat_entries(&claimed.entries).into();
            (
                kind::PENDING,
                entries,
                claimed.cursor.into(),
                deleted.into(),
            )
        }
        Ok(Reply::Consumers { consumers }) => {
            let list = Array::new();
            for consumer in consumers {
                push(
                    &list,
                    [
                        text_or_bytes(&consumer.name),
                        (consumer.pending as f64).into(),
                        (consumer.idle_ms as f64).into(),
                    ],
                );
            }
            (kind::PENDING, list.into(), none(), none())
        }
        // `Reply::Done`. JavaScript makes no request with any other reply.
        Ok(_) => (kind::DONE, none(), none(), none()),
        Err(error) => (
            kind::FAILED,
            error.code().into(),
            error.message().into(),
            error.retry().as_str().into(),
        ),
    };
    emit(on_event, kind, id as f64, [a, b, c]);
}

/// Reports an item of a subscription.
pub(super) fn pushed(on_event: &Function, id: u64, item: Item) {
    let (kind, a, b, c) = match item {
        Item::Entries { entries, position } => {
            let bytes = Credit::of(&entries).bytes as f64;
            let entries = flat_entries(&entries).into();
            (kind::PUSHED, entries, position.into(), bytes.into())
        }
        Item::Gap(gap) => {
            let kind = match gap.reason {
                GapReason::Recreated => kind::GAP_RECREATED,
                GapReason::RolledBack => kind::GAP_ROLLED_BACK,
                _ => kind::GAP,
            };
            (
                kind,
                gap.after.into(),
                gap.first.into(),
                gap.position.into(),
            )
        }
        Item::Skipped(skipped) => (
            kind::SKIPPED,
            skipped.id.into(),
            (skipped.bytes as f64).into(),
            skipped.reason.into(),
        ),
        // The engine treats any other item as a violation.
        _ => return,
    };
    emit(on_event, kind, id as f64, [a, b, c]);
}

/// Reports the connection's state.
pub(super) fn state_changed(on_event: &Function, state: &ConnectionState) {
    let none = JsValue::UNDEFINED;
    let (close, reason, code) = match state {
        ConnectionState::Degraded { code, message } => (0, message.into(), code.into()),
        ConnectionState::Reconnecting { code, reason } => (*code, reason.into(), none),
        ConnectionState::Closed { code, reason } => {
            (*code, reason.into(), close::error_code(*code).into())
        }
        _ => (0, none.clone(), none),
    };
    let close = f64::from(close);
    let state = state.as_str().into();
    emit(on_event, kind::STATE, close, [state, reason, code]);
}

/// Reports that the client needs a token.
pub(super) fn token_requested(on_event: &Function, force: bool) {
    let none = || JsValue::UNDEFINED;
    let force = f64::from(u8::from(force));
    emit(on_event, kind::TOKEN, force, [none(), none(), none()]);
}

/// Returns `[code, message, retry]`.
pub(super) fn error_parts(error: &CacheError) -> JsValue {
    let parts = [error.code(), error.message(), error.retry().as_str()];
    parts
        .into_iter()
        .map(JsValue::from)
        .collect::<Array>()
        .into()
}

fn flat_entries(entries: &[Entry]) -> Array {
    let list = Array::new();
    for entry in entries {
        list.push(&(&entry.id).into());
        list.push(&(entry.fields.len() as f64).into());
        for (name, value) in &entry.fields {
            list.push(&text_or_bytes(name));
            list.push(&text_or_bytes(value));
        }
    }
    list
}

/// Returns a name or a value: a string if it is UTF-8, else a `Uint8Array`.
fn text_or_bytes(value: &ByteString) -> JsValue {
    match value.as_text() {
        Some(text) => text.into(),
        None => Uint8Array::from(&**value).into(),
    }
}

fn list<const N: usize>(values: [JsValue; N]) -> Array {
    let list = Array::new();
    push(&list, values);
    list
}

fn push<const N: usize>(list: &Array, values: [JsValue; N]) {
    for value in &values {
        list.push(value);
    }
}

fn emit(on_event: &Function, kind: u32, id: f64, [a, b, c]: [JsValue; 3]) {
    let arguments = list([kind.into(), id.into(), a, b, c]);
    // The callback only records what it receives, and does not throw.
    let _ = on_event.apply(&JsValue::UNDEFINED, &arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javascript_has_the_same_kinds() {
        let kinds = [
            ("FAILED", kind::FAILED),
            ("VALUE", kind::VALUE),
            ("ENTRIES", kind::ENTRIES),
            ("DONE", kind::DONE),
            ("STATE", kind::STATE),
            ("PUSHED", kind::PUSHED),
            ("GAP", kind::GAP),
            ("GAP_RECREATED", kind::GAP_RECREATED),
            ("GAP_ROLLED_BACK", kind::GAP_ROLLED_BACK),
            ("SKIPPED", kind::SKIPPED),
            ("PENDING", kind::PENDING),
            ("TOKEN", kind::TOKEN),
        ];
        let expected = kinds.map(|(name, kind)| format!("export const {name} = {kind};"));
        let script = include_str!("../../npm/src/events.js");
        let exports = script.lines().filter(|line| line.starts_with("export"));
        assert_eq!(exports.collect::<Vec<_>>(), expected);
    }
}
