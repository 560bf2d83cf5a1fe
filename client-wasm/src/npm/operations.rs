//! The six operations, from JavaScript's values. Each method returns the request's id.
//!
//! Lists are taken by value, which is less code than to lend them. A negative count or time is an
//! absent one.

use js_sys::Array;
use streamgate_protocol::Operation;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::Connection;
use super::values::{bytes, number, string, values};

#[wasm_bindgen]
impl Connection {
    /// Adds an entry. `fields` are name, value, name, value …
    pub fn add(&mut self, stream: JsValue, fields: Array, maxlen: f64, now: f64) -> f64 {
        let mut fields = values(&fields).map(|part| bytes(&part));
        let mut pairs = Vec::new();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            pairs.push((name, value));
        }
        let maxlen = number(maxlen);
        self.request(
            Operation::Add {
                stream: bytes(&stream),
                fields: pairs,
                maxlen,
            },
            now,
        )
    }

    /// Reads the newest entries.
    pub fn read_latest(&mut self, stream: JsValue, count: f64, now: f64) -> f64 {
        let count = number(count).unwrap_or(0);
        self.request(
            Operation::ReadLatest {
                stream: bytes(&stream),
                count,
            },
            now,
        )
    }

    /// Reads the entries after an id.
    pub fn read(
        &mut self,
        stream: JsValue,
        last_id: String,
        count: f64,
        block_ms: f64,
        now: f64,
    ) -> f64 {
        let operation = Operation::Read {
            stream: bytes(&stream),
            last_id: last_id.into(),
            count: number(count).unwrap_or(0),
            block_ms: number(block_ms),
        };
        self.request(operation, now)
    }

    /// Creates a group.
    pub fn create_group(&mut self, stream: JsValue, group: JsValue, id: String, now: f64) -> f64 {
        let operation = Operation::CreateGroup {
            stream: bytes(&stream),
            group: bytes(&group),
            id: id.into(),
        };
        self.request(operation, now)
    }

    /// Reads entries of a group for a consumer.
    pub fn read_group(
        &mut self,
        stream: JsValue,
        group: JsValue,
        consumer: JsValue,
        count: f64,
        block_ms: f64,
        now: f64,
    ) -> f64 {
        let operation = Operation::ReadGroup {
            stream: bytes(&stream),
            group: bytes(&group),
            consumer: bytes(&consumer),
            count: number(count).unwrap_or(0),
            block_ms: number(block_ms),
        };
        self.request(operation, now)
    }

    /// Acknowledges entries.
    pub fn ack(&mut self, stream: JsValue, group: JsValue, ids: Array, now: f64) -> f64 {
        let ids = values(&ids).map(|id| string(&id).into()).collect();
        self.request(
            Operation::Ack {
                stream: bytes(&stream),
                group: bytes(&group),
                ids,
            },
            now,
        )
    }
}
