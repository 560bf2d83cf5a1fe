//! Whether Redis is available, as its connection knows it.
//!
//! Redis is unavailable while the connection is lost, or while a new one is refused. A Redis that
//! serves nobody for now (`LOADING`, `MASTERDOWN`, `BUSY`) is unavailable too; one that refuses only
//! writes (`READONLY`, `OOM`) is not, because it answers reads. A ping every two seconds finds a
//! Redis that hangs. The server tells its clients when the code changes; nothing else depends on
//! this value, so an operation is still sent while Redis looks unavailable.

use std::sync::Arc;

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, Retry};
use tokio::sync::watch;

use crate::wire::errors;

/// Why Redis is unavailable, if it is. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct RedisAvailability(Arc<watch::Sender<Option<CacheError>>>);

impl Default for RedisAvailability {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl RedisAvailability {
    /// Returns a receiver of the reason; it is `None` while Redis is available. It changes when
    /// the reason's code does.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<CacheError>> {
        self.0.subscribe()
    }

    /// Returns the error of an operation that finds no connection: why there is none, if that is
    /// temporary.
    pub(super) fn no_connection(&self) -> CacheError {
        let why = self.0.borrow().clone();
        why.filter(|why| why.retry() == Retry::Later)
            .unwrap_or_else(errors::disconnected)
    }

    pub(super) fn set_available(&self) {
        self.set(None);
    }

    /// Records that the connection is lost, or cannot be made for that reason.
    pub(super) fn set_unavailable(&self, reason: CacheError) {
        self.set(Some(match reason.code() {
            // Clients of a server must not learn Redis's address, and cannot change a setting.
            code::DISCONNECTED | code::CONFIG => errors::disconnected(),
            _ => reason,
        }));
    }

    fn set(&self, reason: Option<CacheError>) {
        self.0.send_if_modified(|published| {
            // The same code with another message is not a change.
            let [old, new] = [&*published, &reason].map(|it| it.as_ref().map(CacheError::code));
            let changed = old != new;
            if changed {
                if let Some(reason) = &reason {
                    tracing::warn!(%reason, "Redis is unavailable");
                }
                *published = reason;
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_code_is_a_change() {
        let availability = RedisAvailability::default();
        let mut watch = availability.watch();
        let reason = |code, why| CacheError::from_code(code, why);
        let mut change = || {
            watch.has_changed().unwrap().then(|| {
                let reason = watch.borrow_and_update();
                reason.as_ref().map(|reason| reason.code().to_owned())
            })
        };
        availability.set_available();
        assert_eq!(change(), None);
        availability.set_unavailable(reason("DISCONNECTED", "redis.example:6379 is unreachable"));
        assert_eq!(change(), Some(Some("DISCONNECTED".to_owned())));
        assert_eq!(availability.no_connection(), errors::disconnected());
        availability.set_unavailable(reason("DISCONNECTED", "still"));
        assert_eq!(change(), None);
        availability.set_unavailable(reason("LOADING", "why"));
        assert_eq!(change(), Some(Some("LOADING".to_owned())));
        availability.set_available();
        assert_eq!(change(), Some(None));
    }
}
