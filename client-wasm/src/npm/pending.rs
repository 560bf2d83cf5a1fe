//! Operations on the pending entries of a group, from JavaScript's values.

use js_sys::Array;
use streamgate_protocol::Operation;
use streamgate_protocol::limits::MAX_PENDING_PAGE;
use wasm_bindgen::prelude::wasm_bindgen;

use super::Connection;
use super::values::{bytes, number, string};

/// The entries that a claim takes at most unless the caller says otherwise: the default of Redis.
const DEFAULT_CLAIM_COUNT: u64 = 100;

/// Which operation. `npm/src/pending.js` has the same, which a test compares.
mod operation {
    pub(super) const SUMMARY: u32 = 0;
    pub(super) const LIST: u32 = 1;
    pub(super) const CLAIM: u32 = 2;
    pub(super) const REMOVE_CONSUMER: u32 = 3;
    pub(super) const CONSUMERS: u32 = 4;
}

#[wasm_bindgen]
impl Connection {
    /// Performs one of five operations; one method is a much smaller download than five. Returns
    /// the request's id.
    ///
    /// | kind | `names`, after the stream and the group | `count` | `min_idle_ms` |
    /// |---|---|---|---|
    /// | `SUMMARY` | | | |
    /// | `LIST` | start, end, and the consumer if only its entries are wanted | yes | yes |
    /// | `CLAIM` | consumer, start | yes | yes |
    /// | `REMOVE_CONSUMER` | consumer, new owner | | |
    /// | `CONSUMERS` | | | |
    pub fn pending(
        &mut self,
        operation: u32,
        names: Array,
        count: f64,
        min_idle_ms: f64,
        now: f64,
    ) -> f64 {
        let name = |index| bytes(&names.get(index));
        let id = |index| string(&names.get(index)).into();
        let (stream, group) = (name(0), name(1));
        let (count, min_idle_ms) = (number(count), number(min_idle_ms));
        let operation = match operation {
            operation::SUMMARY => Operation::PendingSummary { stream, group },
            operation::LIST => Operation::Pending {
                stream,
                group,
                start: id(2),
                end: id(3),
                count: count.unwrap_or(MAX_PENDING_PAGE as u64),
                consumer: (names.length() > 4).then(|| name(4)),
                min_idle_ms,
            },
            operation::CLAIM => Operation::Claim {
                stream,
                group,
                consumer: name(2),
                min_idle_ms: min_idle_ms.unwrap_or(0),
                start: id(3),
                count: count.unwrap_or(DEFAULT_CLAIM_COUNT),
            },
            operation::REMOVE_CONSUMER => Operation::RemoveConsumer {
                stream,
                group,
                consumer: name(2),
                new_owner: name(3),
            },
            other => {
                debug_assert_eq!(other, operation::CONSUMERS);
                Operation::Consumers { stream, group }
            }
        };
        self.request(operation, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javascript_has_the_same_operations() {
        let operations = [
            ("SUMMARY", operation::SUMMARY),
            ("LIST", operation::LIST),
            ("CLAIM", operation::CLAIM),
            ("REMOVE_CONSUMER", operation::REMOVE_CONSUMER),
            ("CONSUMERS", operation::CONSUMERS),
        ];
        let expected = operations.map(|(name, number)| format!("export const {name} = {number};"));
        let script = include_str!("../../npm/src/pending.js");
        let constants = script
            .lines()
            .filter(|line| line.starts_with("export const"));
        assert_eq!(constants.collect::<Vec<_>>(), expected);
    }
}
