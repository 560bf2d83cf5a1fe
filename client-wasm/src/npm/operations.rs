//! The six operations, from JavaScript's values. Each method returns the request's id.
//!
//! Lists are taken by value, which is less code than to lend them. A negative count or time is an
//! absent one.

use js_sys::Array;
use streamgate_protocol::Operation;
use wasm_bindgen::prelude::wasm_bindgen;

use super::Connection;
use super::values::{number, strings};

#[wasm_bindgen]
impl Connection {
    /// Adds an entry. `fields` are name, value, name, value …
    pub fn add(&mut self, stream: String, fields: Array, maxlen: f64, now: f64) -> f64 {
        let mut fields = strings(&fields);
        let mut pairs = Vec::new();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            pairs.push((name.into(), value.into()));
        }
        let maxlen = number(maxlen);
        self.request(
            Operation::Add {
                stream: stream.into(),
                fields: pairs,
                maxlen,
            },
            now,
        )
    }

    /// Reads the newest entries.
    pub fn read_latest(&mut self, stream: String, count: f64, now: f64) -> f64 {
        let count = number(count).unwrap_or(0);
        self.request(
            Operation::ReadLatest {
                stream: stream.into(),
                count,
            },
            now,
        )
    }

    /// Reads the entries after an id.
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
        self.request(operation, now)
    }

    /// Creates a group.
    pub fn create_group(&mut self, stream: String, group: String, id: String, now: f64) -> f64 {
        let operation = Operation::CreateGroup {
            stream: stream.into(),
            group: group.into(),
            id: id.into(),
        };
        self.request(operation, now)
    }

    /// Reads entries of a group for a consumer.
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
        self.request(operation, now)
    }

    /// Acknowledges entries.
    pub fn ack(&mut self, stream: String, group: String, ids: Array, now: f64) -> f64 {
        let ids = strings(&ids).map(Into::into).collect();
        self.request(
            Operation::Ack {
                stream: stream.into(),
                group: group.into(),
                ids,
            },
            now,
        )
    }
}
