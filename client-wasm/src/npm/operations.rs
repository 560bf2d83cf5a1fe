//! The six operations, from JavaScript's values. Each returns the call's id.
//!
//! Lists are taken by value, which is less code than to lend them. Numbers come as JavaScript's: a count or a time below 0 or without a value is absent.

use js_sys::Array;
use streamgate_protocol::Operation;
use streamgate_protocol::text::Text;
use wasm_bindgen::prelude::wasm_bindgen;

use super::Connection;

#[wasm_bindgen]
impl Connection {
    /// `fields` are name, value, name, value …
    pub fn add(&mut self, stream: String, fields: Array, maxlen: f64, now: f64) -> f64 {
        let mut fields = texts(&fields);
        let mut pairs = Vec::new();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            pairs.push((name, value));
        }
        let maxlen = number(maxlen);
        self.call(
            Operation::Add {
                stream: stream.into(),
                fields: pairs,
                maxlen,
            },
            now,
        )
    }

    /// The newest entries.
    pub fn read_latest(&mut self, stream: String, count: f64, now: f64) -> f64 {
        let count = number(count).unwrap_or(0);
        self.call(
            Operation::ReadLatest {
                stream: stream.into(),
                count,
            },
            now,
        )
    }

    /// The entries after an id.
    pub fn read(
        &mut self,
        stream: String,
        last_id: String,
        count: f64,
        block_ms: f64,
        now: f64,
    ) -> f64 {
        let operation = Operation::Read {
            stream: stream.into(),
            last_id: last_id.into(),
            count: number(count).unwrap_or(0),
            block_ms: number(block_ms),
        };
        self.call(operation, now)
    }

    /// A new group.
    pub fn create_group(&mut self, stream: String, group: String, id: String, now: f64) -> f64 {
        let operation = Operation::CreateGroup {
            stream: stream.into(),
            group: group.into(),
            id: id.into(),
        };
        self.call(operation, now)
    }

    /// Entries for a consumer.
    pub fn read_group(
        &mut self,
        stream: String,
        group: String,
        consumer: String,
        count: f64,
        block_ms: f64,
        now: f64,
    ) -> f64 {
        let operation = Operation::ReadGroup {
            stream: stream.into(),
            group: group.into(),
            consumer: consumer.into(),
            count: number(count).unwrap_or(0),
            block_ms: number(block_ms),
        };
        self.call(operation, now)
    }

    /// Entries that were dealt with.
    pub fn ack(&mut self, stream: String, group: String, ids: Array, now: f64) -> f64 {
        let ids = texts(&ids).collect();
        self.call(
            Operation::Ack {
                stream: stream.into(),
                group: group.into(),
                ids,
            },
            now,
        )
    }
}

/// JavaScript has checked that these are strings.
pub(super) fn texts(values: &Array) -> impl Iterator<Item = Text<'static>> {
    (0..values.length()).map(|place| values.get(place).as_string().unwrap_or_default().into())
}

/// Also without a value where there is none to be had: not a number.
pub(super) fn number(value: f64) -> Option<u64> {
    (value >= 0.0).then_some(value as u64)
}
