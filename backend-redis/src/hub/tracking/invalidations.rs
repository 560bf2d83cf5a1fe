//! What Redis pushed on the hub's connection and the hub has not yet seen.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

/// Collects pushes until the hub takes them.
///
/// A set, not a queue: Redis pushes one invalidation for each time a key is armed, but one for
/// every `FLUSHALL`, however often somebody sends that. So it holds no more than the keys that
/// the hub has armed.
#[derive(Default)]
pub(crate) struct Invalidations {
    seen: Mutex<InvalidationBatch>,
    news: Notify,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InvalidationBatch {
    /// Streams that changed.
    pub(crate) streams: HashSet<String>,
    /// Every stream may have changed.
    pub(crate) all: bool,
    /// The connection has ended.
    pub(crate) lost: bool,
}

impl Invalidations {
    pub(crate) fn push(&self, push: PushInfo) {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            match push.kind {
                PushKind::Disconnection => seen.lost = true,
                PushKind::Invalidate => seen.invalidate(push.data),
                _ => return,
            }
        }
        self.news.notify_one();
    }

    /// A stream has changed, or may have, as if Redis had pushed that.
    pub(crate) fn changed(&self, stream: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.streams.insert(stream.to_owned());
        drop(seen);
        self.news.notify_one();
    }

    /// Waits for the next pushes. Cancel-safe: what was not returned is still there.
    pub(crate) async fn next(&self) -> InvalidationBatch {
        loop {
            let pushed =
                std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
            if pushed != InvalidationBatch::default() {
                return pushed;
            }
            self.news.notified().await;
        }
    }
}

impl InvalidationBatch {
    fn invalidate(&mut self, data: Vec<Value>) {
        match data.into_iter().next() {
            Some(Value::Array(keys)) => {
                for key in keys {
                    // The hub arms no key that is not UTF-8.
                    if let Value::BulkString(key) = key
                        && let Ok(key) = String::from_utf8(key)
                    {
                        self.streams.insert(key);
                    }
                }
            }
            // Nil: all of them. Anything else is unknown, and a needless read is harmless.
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
    async fn a_thousand_flushes_are_one() {
        let pushes = Invalidations::default();
        for _ in 0..1_000 {
            pushes.push(invalidate(Value::Nil));
            pushes.push(invalidate(Value::Array(vec![Value::BulkString(
                b"s".to_vec(),
            )])));
        }
        let streams = HashSet::from(["s".to_owned()]);
        assert_eq!(
            pushes.next().await,
            InvalidationBatch {
                streams,
                all: true,
                lost: false
            }
        );
    }

    #[tokio::test]
    async fn a_lost_connection_is_told() {
        let pushes = Invalidations::default();
        pushes.push(PushInfo {
            kind: PushKind::Disconnection,
            data: Vec::new(),
        });
        assert!(pushes.next().await.lost);
    }
}
