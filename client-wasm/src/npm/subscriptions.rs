//! Subscriptions, from JavaScript's values. Each method returns the subscription's id.

use streamgate_protocol::message::{Credit, Subscription, TailStart};
use streamgate_protocol::subscribe::DEFAULT_CONSUME_BATCH;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::Connection;
use super::values::{bytes, number};

#[wasm_bindgen]
impl Connection {
    /// Follows a stream from `beginning`, from `now`, or after an id; or, if `last` is not absent,
    /// from that many entries back.
    pub fn tail(&mut self, stream: JsValue, from: String, last: f64, now: f64) -> f64 {
        let from = match (number(last), from.as_str()) {
            (Some(count), _) => TailStart::Last { count },
            (None, "beginning") => TailStart::Beginning {},
            (None, "now") => TailStart::Now {},
            (None, _) => TailStart::After { id: from.into() },
        };
        let stream = bytes(&stream);
        self.subscribe(Subscription::Tail { stream, from }, now)
    }

    /// Receives a group's entries for a consumer, and reclaims idle entries of others.
    #[expect(clippy::too_many_arguments, reason = "JavaScript's values, one by one")]
    pub fn consume(
        &mut self,
        stream: JsValue,
        group: JsValue,
        consumer: JsValue,
        batch: f64,
        claim_after_ms: f64,
        max_deliveries: f64,
        dead_letter: JsValue,
        create_from: Option<String>,
        now: f64,
    ) -> f64 {
        let subscription = Subscription::Consume {
            stream: bytes(&stream),
            group: bytes(&group),
            consumer: bytes(&consumer),
            batch: number(batch).unwrap_or(DEFAULT_CONSUME_BATCH as u64),
            claim_after_ms: number(claim_after_ms),
            max_deliveries: number(max_deliveries),
            dead_letter: (!dead_letter.is_undefined()).then(|| bytes(&dead_letter)),
            resumed: None,
            create_from: create_from.map(Into::into),
            position: None,
        };
        self.subscribe(subscription, now)
    }

    /// Records that JavaScript took an item with this many entries and bytes.
    pub fn consumed(&mut self, id: f64, entries: f64, bytes: f64) {
        let taken = Credit {
            entries: entries as u64,
            bytes: bytes as u64,
        };
        self.io.engine.consumed(id as u64, taken);
    }
}
