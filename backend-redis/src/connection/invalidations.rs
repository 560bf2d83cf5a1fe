//! The invalidations that Redis has pushed and the hub has not taken yet.
//!
//! Invalidations are numbered in the order in which they arrive. So a read that armed its key can
//! be compared with them ([`Arming`]): an invalidation with a higher number may be of a change
//! after the read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::Value;
use tokio::sync::Notify;

/// Maximum number of streams that are kept. Beyond it, every stream counts as changed.
const MAX_STREAMS: usize = 64 * 1024;

/// Maximum number of bytes of their names. Beyond it, the same.
const MAX_NAME_BYTES: usize = 8 * 1024 * 1024;

/// Collects invalidations until the hub takes them.
///
/// A map, not a queue: Redis pushes one invalidation each time a key was armed, but one for every
/// `FLUSHALL`, however often a client sends that.
#[derive(Debug, Default)]
pub(crate) struct Invalidations {
    pending: Mutex<PendingInvalidations>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct PendingInvalidations {
    /// Number of the last invalidation, of all connections so far.
    last: u64,
    batch: InvalidationBatch,
    /// Bytes of the names in the batch.
    name_bytes: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InvalidationBatch {
    /// Streams that have changed, each with the number of its last invalidation.
    pub(crate) streams: HashMap<Vec<u8>, u64>,
    /// Number of the last invalidation of all streams, if there was one.
    pub(crate) all: Option<u64>,
}

/// A read that armed its key: Redis pushes the key's next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arming {
    /// The connection on which the key was read, and for which Redis pushes the change.
    pub(crate) generation: u64,
    /// Number of the last invalidation that arrived before the read's answer. It may be lower: a
    /// change that is wrongly taken for a later one only causes another read.
    pub(crate) last_invalidation: u64,
}

impl Invalidations {
    /// Takes the data of a push.
    pub(super) fn push(&self, data: Vec<Value>) {
        self.lock().add(data);
        self.notify.notify_one();
    }

    /// Returns the number of the last invalidation.
    pub(super) fn last(&self) -> u64 {
        self.lock().last
    }

    /// Waits for the next invalidations. Cancel-safe: what it has not returned is kept.
    pub(crate) async fn next(&self) -> InvalidationBatch {
        loop {
            let batch = self.lock().take();
            if batch != InvalidationBatch::default() {
                return batch;
            }
            self.notify.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, PendingInvalidations> {
        // Nothing that can panic happens under the lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingInvalidations {
    fn take(&mut self) -> InvalidationBatch {
        self.name_bytes = 0;
        std::mem::take(&mut self.batch)
    }

    fn add(&mut self, data: Vec<Value>) {
        self.last += 1;
        match data.into_iter().next() {
            Some(Value::Array(keys)) => {
                for key in keys {
                    if let Value::BulkString(key) = key {
                        let bytes = key.len();
                        if self.batch.streams.insert(key, self.last).is_none() {
                            self.name_bytes += bytes;
                        }
                    }
                }
            }
            // Nil means every key. Anything else is unknown, and a needless read does no harm.
            _ => self.batch.all = Some(self.last),
        }
        if self.batch.streams.len() > MAX_STREAMS || self.name_bytes > MAX_NAME_BYTES {
            self.batch.streams = HashMap::new();
            self.name_bytes = 0;
            self.batch.all = Some(self.last);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn keys(names: &[String]) -> Vec<Value> {
        let keys = names.iter().map(|name| name.clone().into_bytes());
        vec![Value::Array(keys.map(Value::BulkString).collect())]
    }

    #[tokio::test]
    async fn a_thousand_flushes_are_one_batch() {
        let invalidations = Invalidations::default();
        for _ in 0..1_000 {
            invalidations.push(vec![Value::Nil]);
            invalidations.push(keys(&["s".to_owned()]));
        }
        let expected = InvalidationBatch {
            streams: HashMap::from([(b"s".to_vec(), 2_000)]),
            all: Some(1_999),
        };
        assert_eq!(invalidations.next().await, expected);
        assert!(invalidations.next().now_or_never().is_none());
        assert_eq!(invalidations.last(), 2_000);
    }

    #[tokio::test]
    async fn too_many_streams_are_all_streams() {
        let invalidations = Invalidations::default();
        let names: Vec<_> = (0..=MAX_STREAMS).map(|n| n.to_string()).collect();
        invalidations.push(keys(&names[1..]));
        invalidations.push(keys(&names[..1]));
        let expected = InvalidationBatch {
            streams: HashMap::new(),
            all: Some(2),
        };
        assert_eq!(invalidations.next().await, expected);
    }

    #[tokio::test]
    async fn too_many_bytes_of_names_are_all_streams() {
        let invalidations = Invalidations::default();
        let names: Vec<_> = (0..9).map(|n| n.to_string().repeat(1024 * 1024)).collect();
        invalidations.push(keys(&names[..8]));
        invalidations.push(keys(&names[..8]));
        assert_eq!(invalidations.next().await.streams.len(), 8);
        invalidations.push(keys(&names));
        let batch = invalidations.next().await;
        assert_eq!((batch.streams.len(), batch.all), (0, Some(3)));
    }
}
