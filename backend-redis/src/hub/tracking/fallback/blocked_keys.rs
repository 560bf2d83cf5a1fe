//! The streams that one connection blocks for, and how many they may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamgate_protocol::EntryId;
use tokio::sync::Notify;

/// Maximum number of streams on one connection. What a wake costs Redis grows with them.
pub(super) const MAX_KEYS: usize = 256;

/// Streams, each with the id after which entries are to be reported.
#[derive(Debug, Default)]
pub(super) struct BlockedKeys {
    state: Mutex<BlockedKeysState>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct BlockedKeysState {
    ends: HashMap<Arc<[u8]>, EntryId>,
    is_closed: bool,
}

impl BlockedKeys {
    /// Adds a stream, or replaces its end. Returns false if there is no room.
    pub(super) fn insert(&self, stream: &Arc<[u8]>, end: EntryId) -> bool {
        let mut state = self.lock();
        let has_room = state.ends.len() < MAX_KEYS || state.ends.contains_key(stream);
        if state.is_closed || !has_room {
            return false;
        }
        let previous = state.ends.insert(Arc::clone(stream), end);
        drop(state);
        if previous != Some(end) {
            self.notify.notify_one();
        }
        true
    }

    /// Removes a stream. A read in flight may still report it, which does no harm.
    pub(super) fn remove(&self, stream: &[u8]) {
        self.lock().ends.remove(stream);
    }

    /// Removes a stream that has entries after an end, unless its end was replaced meanwhile.
    pub(super) fn remove_reported(&self, stream: &[u8], end: EntryId) {
        let mut state = self.lock();
        if state.ends.get(stream) == Some(&end) {
            state.ends.remove(stream);
        }
    }

    pub(super) fn snapshot(&self) -> Vec<(Arc<[u8]>, EntryId)> {
        let state = self.lock();
        let ends = state.ends.iter();
        ends.map(|(stream, end)| (Arc::clone(stream), *end))
            .collect()
    }

    /// Waits until a stream or an end is new since the last call.
    pub(super) async fn changed(&self) {
        self.notify.notified().await;
    }

    /// Closes this set if it is empty. Returns whether it is closed.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut state = self.lock();
        state.is_closed = state.ends.is_empty();
        state.is_closed
    }

    /// Refuses further streams from now on.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, BlockedKeysState> {
        // Nothing that can panic happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_full_set_takes_new_ends_of_its_streams_only() {
        let keys = BlockedKeys::default();
        let name = |n: usize| -> Arc<[u8]> { n.to_string().into_bytes().into() };
        for n in 0..MAX_KEYS {
            assert!(keys.insert(&name(n), EntryId::ZERO));
        }
        assert!(!keys.insert(&name(MAX_KEYS), EntryId::ZERO));
        assert!(keys.insert(&name(0), EntryId::MAX));
        keys.remove_reported(b"0", EntryId::ZERO);
        assert_eq!(keys.snapshot().len(), MAX_KEYS, "the end was replaced");
        keys.remove_reported(b"0", EntryId::MAX);
        assert!(keys.insert(&name(MAX_KEYS), EntryId::ZERO));
    }

    #[test]
    fn only_a_new_stream_or_end_is_a_change() {
        let keys = BlockedKeys::default();
        keys.insert(&(*b"s").into(), EntryId::ZERO);
        assert!(keys.changed().now_or_never().is_some());
        keys.insert(&(*b"s").into(), EntryId::ZERO);
        assert!(keys.changed().now_or_never().is_none());
    }

    #[test]
    fn a_closed_set_takes_no_streams() {
        let keys = BlockedKeys::default();
        keys.insert(&(*b"s").into(), EntryId::ZERO);
        assert!(!keys.close_if_empty());
        keys.remove(b"s");
        assert!(keys.close_if_empty());
        assert!(!keys.insert(&(*b"s").into(), EntryId::ZERO));
    }
}
