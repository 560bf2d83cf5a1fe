//! The invalidations that Redis has pushed and the hub has not taken yet.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

/// Collects invalidations until the hub takes them.
///
/// A set, not a queue: Redis pushes one invalidation each time a key was armed, but one for every
/// `FLUSHALL`, however often a client sends that. So the set is bounded by the keys that the hub
/// has armed.
#[derive(Default)]
pub(super) struct Invalidations {
    pending: Mutex<InvalidationBatch>,
    notify: Notify,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct InvalidationBatch {
    /// Streams that have changed.
    pub(in crate::hub) streams: HashSet<Vec<u8>>,
    /// Whether every stream may have changed.
    pub(in crate::hub) all: bool,
    /// Whether the connection has ended.
    pub(super) lost: bool,
}

impl Invalidations {
    /// Takes a push of the connection.
    pub(super) fn push(&self, push: PushInfo) {
        match push.kind {
            PushKind::Disconnection => self.lock().lost = true,
            PushKind::Invalidate => self.lock().add(push.data),
            _ => return,
        }
        self.notify.notify_one();
    }

    /// Adds one stream, as if Redis had pushed its invalidation.
    pub(super) fn insert(&self, stream: &[u8]) {
        self.lock().streams.insert(stream.to_owned());
        self.notify.notify_one();
    }

    /// Waits for the next invalidations. Cancel-safe: what it has not returned is kept.
    pub(super) async fn next(&self) -> InvalidationBatch {
        loop {
            let batch = std::mem::take(&mut *self.lock());
            if batch != InvalidationBatch::default() {
                return batch;
            }
            self.notify.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, InvalidationBatch> {
        // Nothing that can panic happens under the lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InvalidationBatch {
    fn add(&mut self, data: Vec<Value>) {
        match data.into_iter().next() {
            Some(Value::Array(keys)) => {
                for key in keys {
                    if let Value::BulkString(key) = key {
                        self.streams.insert(key);
                    }
                }
            }
            // Nil means every key. Anything else is unknown, and a needless read does no harm.
            _ => self.all = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalidate(data: Value) -> PushInfo {
        PushInfo {
            kind: PushKind::Invalidate,
            data: vec![data],
        }
    }

    #[tokio::test]
    async fn a_thousand_flushes_are_one_batch() {
        let invalidations = Invalidations::default();
        for _ in 0..1_000 {
            invalidations.push(invalidate(Value::Nil));
            let key = Value::BulkString(b"s".to_vec());
            invalidations.push(invalidate(Value::Array(vec![key])));
        }
        let expected = InvalidationBatch {
            streams: HashSet::from([b"s".to_vec()]),
            all: true,
            lost: false,
        };
        assert_eq!(invalidations.next().await, expected);
    }

    #[tokio::test]
    async fn a_lost_connection_is_reported() {
        let invalidations = Invalidations::default();
        invalidations.push(PushInfo {
            kind: PushKind::Disconnection,
            data: Vec::new(),
        });
        assert!(invalidations.next().await.lost);
    }
}
