//! What a group's consumers hold, from JavaScript's values.

use js_sys::Array;
use streamgate_protocol::Operation;
use streamgate_protocol::limits::MAX_PENDING_PAGE;
use wasm_bindgen::prelude::wasm_bindgen;

use super::Connection;
use super::operations::{number, texts};

/// Entries that a claim takes over at most unless it says otherwise: as many as in Redis.
const DEFAULT_CLAIM: u64 = 100;

#[wasm_bindgen]
impl Connection {
    /// One of four operations; one method is much less to download than four. Returns the call's id.
    ///
    /// | kind | `names`, behind the stream and the group | `count` | `min_idle_ms` |
    /// |---|---|---|---|
    /// | 0: a summary | | | |
    /// | 1: a list | start, end, and the consumer if it is of one | as many | those idle |
    /// | 2: a claim | consumer, start | as many | those idle |
    /// | 3: a removal | consumer, heir | | |
    pub fn groups(
        &mut self,
        kind: u32,
        names: Array,
        count: f64,
        min_idle_ms: f64,
        now: f64,
    ) -> f64 {
        let mut names = texts(&names);
        let mut name = || names.next().unwrap_or_else(|| "".into());
        let (stream, group, first, second) = (name(), name(), name(), name());
        let (count, min_idle_ms) = (number(count), number(min_idle_ms));
        let operation = match kind {
            0 => Operation::PendingSummary { stream, group },
            1 => Operation::Pending {
                stream,
                group,
                start: first,
                end: second,
                count: count.unwrap_or(MAX_PENDING_PAGE as u64),
                consumer: names.next(),
                min_idle_ms,
            },
            2 => Operation::Claim {
                stream,
                group,
                consumer: first,
                min_idle_ms: min_idle_ms.unwrap_or(0),
                start: second,
                count: count.unwrap_or(DEFAULT_CLAIM),
            },
            _ => Operation::RemoveConsumer {
                stream,
                group,
                consumer: first,
                heir: second,
            },
        };
        self.call(operation, now)
    }
}
