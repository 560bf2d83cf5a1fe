//! What a group's consumers hold, from JavaScript's values. Each returns the call's id.

use streamgate_protocol::Operation;
use streamgate_protocol::limits::MAX_PENDING_PAGE;
use wasm_bindgen::prelude::wasm_bindgen;

use super::Connection;
use super::call::number;

/// Entries that a claim takes over at most unless it says otherwise: as many as in Redis.
const DEFAULT_CLAIM: u64 = 100;

#[wasm_bindgen]
impl Connection {
    /// How much is pending, and who holds it.
    pub fn pending(&mut self, stream: String, group: String, now: f64) -> f64 {
        let operation = Operation::PendingSummary {
            stream: stream.into(),
            group: group.into(),
        };
        self.call(operation, now)
    }

    /// What is pending; of one consumer if it is there.
    #[expect(clippy::too_many_arguments, reason = "JavaScript's values, one by one")]
    pub fn pending_entries(
        &mut self,
        stream: String,
        group: String,
        start: String,
        end: String,
        count: f64,
        consumer: Option<String>,
        min_idle_ms: f64,
        now: f64,
    ) -> f64 {
        let operation = Operation::Pending {
            stream: stream.into(),
            group: group.into(),
            start: start.into(),
            end: end.into(),
            count: number(count).unwrap_or(MAX_PENDING_PAGE as u64),
            consumer: consumer.map(Into::into),
            min_idle_ms: number(min_idle_ms),
        };
        self.call(operation, now)
    }

    /// Pending entries for another consumer.
    #[expect(clippy::too_many_arguments, reason = "JavaScript's values, one by one")]
    pub fn claim(
        &mut self,
        stream: String,
        group: String,
        consumer: String,
        min_idle_ms: f64,
        start: String,
        count: f64,
        now: f64,
    ) -> f64 {
        let operation = Operation::Claim {
            stream: stream.into(),
            group: group.into(),
            consumer: consumer.into(),
            min_idle_ms: number(min_idle_ms).unwrap_or(0),
            start: start.into(),
            count: number(count).unwrap_or(DEFAULT_CLAIM),
        };
        self.call(operation, now)
    }

    /// No consumer any more, and an heir for what it holds.
    pub fn remove_consumer(
        &mut self,
        stream: String,
        group: String,
        consumer: String,
        heir: String,
        now: f64,
    ) -> f64 {
        let operation = Operation::RemoveConsumer {
            stream: stream.into(),
            group: group.into(),
            consumer: consumer.into(),
            heir: heir.into(),
        };
        self.call(operation, now)
    }
}
