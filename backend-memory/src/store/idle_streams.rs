//! Dropping streams that nobody uses, once there is no room for others.
//!
//! No operation deletes a stream or a group. So, when the capacity is used up, streams go that have
//! no entry, no pending entry, no tail and no waiting reader or consumer, and that were not used for
//! [`IDLE_MS`]. Adds, group reads and new groups are uses. A consumer that comes later gets
//! `NOGROUP`. In Redis such a stream stays until somebody deletes it.

use std::mem;

use crate::budget::named_bytes;
use crate::store::Store;
use crate::stream::Stream;

/// For how long a stream must not have been used, in ms.
const IDLE_MS: u64 = 600_000;

/// The least time between two searches, in ms: each looks at all streams.
const SEARCH_EVERY_MS: u64 = 1_000;

impl Store {
    /// Drops the streams that are empty and idle, except the one with this key.
    pub(super) fn drop_idle_streams(&mut self, kept: &[u8], now_ms: u64) {
        // A clock that was set back must not end the searches.
        let is_soon = self.next_idle_ms.saturating_sub(now_ms) <= IDLE_MS;
        if now_ms < self.next_idle_ms && is_soon {
            return;
        }
        let mut next_idle_ms = now_ms.saturating_add(IDLE_MS);
        let mut streams = mem::take(&mut self.streams);
        streams.retain(|key, stream| {
            if **key == *kept || !stream.is_empty_and_unwatched() {
                return true;
            }
            let idle_from_ms = stream.used_ms.saturating_add(IDLE_MS);
            if now_ms < idle_from_ms {
                next_idle_ms = next_idle_ms.min(idle_from_ms);
                return true;
            }
            self.give_back_stream(key, stream);
            false
        });
        self.streams = streams;
        self.next_idle_ms = next_idle_ms.max(now_ms.saturating_add(SEARCH_EVERY_MS));
    }

    fn give_back_stream(&mut self, key: &[u8], stream: &Stream) {
        let groups = stream.groups.iter();
        let groups_bytes: usize = groups.map(|(name, _)| named_bytes(name)).sum();
        let stream_bytes = if stream.is_blank() {
            0
        } else {
            named_bytes(key)
        };
        self.stored.give_back(stream_bytes + groups_bytes);
        let consumers = stream.groups.values().map(|group| group.consumers_bytes());
        self.pending.give_back(consumers.sum());
    }
}
