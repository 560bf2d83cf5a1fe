//! The streams that one connection blocks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use streamgate_protocol::EntryId;

/// Streams on one connection: what a wake costs Redis grows with them.
pub(super) const MAX_KEYS: usize = 256;

/// Streams, and the ids behind which something is waited for.
#[derive(Debug, Default)]
pub(super) struct BlockedKeys {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    ends: HashMap<Arc<str>, EntryId>,
    closed: bool,
}

impl BlockedKeys {
    /// Takes in a stream, or its new end. Whether there was room, or it was there already.
    pub(super) fn insert(&self, stream: &Arc<str>, end: EntryId) -> bool {
        let mut inner = self.lock();
        let room = inner.ends.len() < MAX_KEYS || inner.ends.contains_key(stream);
        if inner.closed || !room {
            return false;
        }
        let before = inner.ends.insert(Arc::clone(stream), end);
        drop(inner);
        if before != Some(end) {
            self.news.notify_one();
        }
        true
    }

    /// It may still be told of, which is harmless.
    pub(super) fn remove(&self, stream: &str) {
        self.lock().ends.remove(stream);
    }

    /// Removes a stream that has entries behind an id, unless another end is waited for by now.
    pub(super) fn found(&self, stream: &str, end: EntryId) {
        let mut inner = self.lock();
        if inner.ends.get(stream) == Some(&end) {
            inner.ends.remove(stream);
        }
    }

    pub(super) fn snapshot(&self) -> Vec<(Arc<str>, EntryId)> {
        let inner = self.lock();
        let each = inner.ends.iter();
        each.map(|(stream, end)| (Arc::clone(stream), *end))
            .collect()
    }

    /// Waits until a stream or a new end was taken in since the last time.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    /// Takes in no more, if there are none or if it has to be; whether that is so.
    pub(super) fn close(&self, anyway: bool) -> bool {
        let mut inner = self.lock();
        inner.closed = anyway || inner.ends.is_empty();
        inner.closed
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic happens under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_for_new_ends_of_the_same() {
        let keys = BlockedKeys::default();
        let name = |n: usize| -> Arc<str> { n.to_string().into() };
        for n in 0..MAX_KEYS {
            assert!(keys.insert(&name(n), EntryId::ZERO));
        }
        assert!(!keys.insert(&name(MAX_KEYS), EntryId::ZERO));
        assert!(keys.insert(&name(0), EntryId::MAX));
        keys.found("0", EntryId::ZERO);
        assert_eq!(keys.snapshot().len(), MAX_KEYS, "another end is waited for");
        keys.found("0", EntryId::MAX);
        assert!(keys.insert(&name(MAX_KEYS), EntryId::ZERO));
    }

    #[test]
    fn only_what_is_new_is_news() {
        let keys = BlockedKeys::default();
        keys.insert(&"s".into(), EntryId::ZERO);
        assert!(keys.changed().now_or_never().is_some());
        keys.insert(&"s".into(), EntryId::ZERO);
        assert!(keys.changed().now_or_never().is_none());
    }

    #[test]
    fn what_is_closed_takes_in_no_more() {
        let keys = BlockedKeys::default();
        keys.insert(&"s".into(), EntryId::ZERO);
        assert!(!keys.close(false));
        keys.remove("s");
        assert!(keys.close(false));
        assert!(!keys.insert(&"s".into(), EntryId::ZERO));
    }
}
