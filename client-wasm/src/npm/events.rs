//! What JavaScript is told: `told(kind, id, a, b, c)`.
//!
//! | kind | id | a | b | c |
//! |---|---|---|---|---|
//! | 0: a call failed, or a subscription is over | its | code | message | retry |
//! | 1: an add is done | the call's | the entry's id | | |
//! | 2: a read is done | the call's | entries | the id to read after next, or undefined | |
//! | 3: another call is done | the call's | | | |
//! | 4: the state changed | the close code, or 0 | the state | the reason, or undefined | the backend's code, or undefined |
//! | 5: entries were pushed | the subscription's | entries | the position, or undefined | their bytes |
//! | 6: a gap was pushed | the subscription's | after | first, or undefined | position |
//! | 7: a gap, and the stream is another one | the same | | | |
//! | 8: a call about pending entries is done | the call's | see below | | |
//!
//! Of pending entries `a` is a flat list: of a summary the count, the smallest id, the greatest one, then
//! name, count, name, count …; of a list for each its id, the consumer, the time and the deliveries; of a
//! removal one number. Of a claim they are entries, the cursor, and the ids that were deleted.
//!
//! Entries are one flat list, which costs less on both sides than lists in lists: for each its
//! id, the number of its fields, then name, value, name, value …

use js_sys::{Array, Function};
use streamgate_client::{CacheError, CacheResult, ConnectionState, StreamEntry};
use streamgate_protocol::Reply;
use streamgate_protocol::message::{Credit, Item};
use wasm_bindgen::JsValue;

pub(super) fn finished(told: &Function, id: u64, result: CacheResult<Reply>) {
    let none = JsValue::UNDEFINED;
    match result {
        Ok(Reply::Added { id: entry }) => {
            tell(told, 1, id as f64, entry.into(), none, &JsValue::UNDEFINED)
        }
        Ok(Reply::Entries { entries, last_id }) => {
            tell(
                told,
                2,
                id as f64,
                flat(&entries).into(),
                last_id.into(),
                &none,
            );
        }
        Ok(Reply::Summary(summary)) => {
            let list = list([
                (summary.count as f64).into(),
                summary.smallest.into(),
                summary.greatest.into(),
            ]);
            for (name, count) in summary.consumers {
                push(&list, [name.into(), (count as f64).into()]);
            }
            tell(told, 8, id as f64, list.into(), none, &JsValue::UNDEFINED);
        }
        Ok(Reply::Pending { entries }) => {
            let list = Array::new();
            for entry in entries {
                push(
                    &list,
                    [
                        entry.id.into(),
                        entry.consumer.into(),
                        (entry.idle_ms as f64).into(),
                        (entry.deliveries as f64).into(),
                    ],
                );
            }
            tell(told, 8, id as f64, list.into(), none, &JsValue::UNDEFINED);
        }
        Ok(Reply::Claimed(claimed)) => {
            let deleted = Array::new();
            for id in claimed.deleted {
                deleted.push(&id.into());
            }
            let entries = flat(&claimed.entries).into();
            tell(told, 8, id as f64, entries, claimed.cursor.into(), &deleted);
        }
        Ok(Reply::Removed { handed_over }) => {
            let count = (handed_over as f64).into();
            tell(told, 8, id as f64, count, none, &JsValue::UNDEFINED);
        }
        Ok(Reply::Done {}) => tell(told, 3, id as f64, none.clone(), none, &JsValue::UNDEFINED),
        Err(error) => {
            let retry = error.retry().as_str().into();
            tell(
                told,
                0,
                id as f64,
                error.code().into(),
                error.message().into(),
                &retry,
            );
        }
    }
}

pub(super) fn pushed(told: &Function, id: u64, item: Item) {
    let (kind, a, b, c) = match item {
        Item::Entries { entries, position } => {
            let bytes = Credit::of(&entries).bytes as f64;
            (5, flat(&entries).into(), position.into(), bytes.into())
        }
        Item::Gap(gap) => {
            let kind = 6 + u32::from(gap.recreated);
            (
                kind,
                gap.after.into(),
                gap.first.into(),
                gap.position.into(),
            )
        }
    };
    tell(told, kind, id as f64, a, b, &c);
}

pub(super) fn state(told: &Function, state: &ConnectionState) {
    let none = JsValue::UNDEFINED;
    let (close, reason, code) = match state {
        ConnectionState::Connecting | ConnectionState::Open => (0, none.clone(), none),
        ConnectionState::Degraded { code, message } => (0, message.into(), code.into()),
        ConnectionState::Reconnecting { code, reason }
        | ConnectionState::Closed { code, reason } => (*code, reason.into(), none),
    };
    let close = f64::from(close);
    tell(told, 4, close, state.as_str().into(), reason, &code);
}

/// `[code, message, retry]`
pub(super) fn error(error: &CacheError) -> JsValue {
    let parts = [error.code(), error.message(), error.retry().as_str()];
    parts
        .into_iter()
        .map(JsValue::from)
        .collect::<Array>()
        .into()
}

fn flat(entries: &[StreamEntry]) -> Array {
    let list = Array::new();
    for (id, fields) in entries {
        list.push(&id.into());
        list.push(&(fields.len() as f64).into());
        for (name, value) in fields {
            list.push(&name.into());
            list.push(&value.into());
        }
    }
    list
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

fn tell(told: &Function, kind: u32, id: f64, a: JsValue, b: JsValue, c: &JsValue) {
    let arguments = list([kind.into(), id.into(), a, b, c.clone()]);
    // It only notes what it is told, and does not throw.
    let _ = told.apply(&JsValue::UNDEFINED, &arguments);
}
