//! Whether Redis is available, as its two connections know it.
//!
//! Redis is unavailable while one of the connections is lost, or while a new one is refused. A
//! Redis that serves nobody for now (`LOADING`, `MASTERDOWN`, `BUSY`) is unavailable too; one that
//! refuses only writes (`READONLY`, `OOM`) is not, because it answers reads. A ping every two
//! seconds finds a Redis that hangs. The server tells its clients when the code changes; nothing
//! else depends on this value, so an operation is still sent while Redis looks unavailable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;
use tokio::sync::watch;

use crate::wire::errors;

/// Why Redis is unavailable, if it is. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct RedisAvailability(Arc<AvailabilityState>);

/// One of the two connections.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConnectionKind {
    Commands,
    Hub,
}

#[derive(Debug)]
struct AvailabilityState {
    /// One for each [`ConnectionKind`].
    reasons: Mutex<[Option<CacheError>; 2]>,
    published: watch::Sender<Option<CacheError>>,
}

impl Default for RedisAvailability {
    fn default() -> Self {
        Self(Arc::new(AvailabilityState {
            reasons: Mutex::default(),
            published: watch::Sender::new(None),
        }))
    }
}

impl RedisAvailability {
    /// Returns a receiver of the reason; it is `None` while Redis is available. It changes when
    /// the reason's code does.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<CacheError>> {
        self.0.published.subscribe()
    }

    /// Returns why Redis is unavailable on one connection.
    pub(super) fn reason(&self, connection: ConnectionKind) -> Option<CacheError> {
        self.0.lock()[connection as usize].clone()
    }

    pub(crate) fn set_available(&self, connection: ConnectionKind) {
        self.set(connection, None);
    }

    /// Records that the connection is lost, or cannot be made for that reason.
    pub(crate) fn set_unavailable(&self, connection: ConnectionKind, reason: CacheError) {
        let reason = match reason.code() {
            // Clients of a server must not learn Redis's address.
            code::DISCONNECTED => errors::disconnected(),
            _ => reason,
        };
        self.set(connection, Some(reason));
    }

    fn set(&self, connection: ConnectionKind, reason: Option<CacheError>) {
        let mut reasons = self.0.lock();
        reasons[connection as usize] = reason;
        let reason = reasons.iter().flatten().next();
        self.0.published.send_if_modified(|published| {
            // The same code with another message is not a change.
            let [old, new] = [published.as_ref(), reason].map(|it| it.map(CacheError::code));
            let changed = old != new;
            if changed {
                if let Some(reason) = reason {
                    tracing::warn!(%reason, "Redis is unavailable");
                }
                *published = reason.cloned();
            }
            changed
        });
    }
}

impl AvailabilityState {
    fn lock(&self) -> MutexGuard<'_, [Option<CacheError>; 2]> {
        // Nothing panics under the lock.
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_is_available_when_both_connections_are() {
        let availability = RedisAvailability::default();
        let mut watch = availability.watch();
        let reason = |code| CacheError::from_code(code, "why");
        let mut change = || {
            watch.has_changed().unwrap().then(|| {
                let reason = watch.borrow_and_update();
                reason.as_ref().map(|reason| reason.code().to_owned())
            })
        };
        availability.set_unavailable(ConnectionKind::Hub, reason("WRONGPASS"));
        assert_eq!(change(), Some(Some("WRONGPASS".to_owned())));
        availability.set_unavailable(ConnectionKind::Commands, reason("DISCONNECTED"));
        assert_eq!(change(), Some(Some("DISCONNECTED".to_owned())));
        availability.set_unavailable(ConnectionKind::Commands, reason("DISCONNECTED"));
        assert_eq!(change(), None);
        availability.set_available(ConnectionKind::Commands);
        assert_eq!(change(), Some(Some("WRONGPASS".to_owned())));
        availability.set_available(ConnectionKind::Hub);
        assert_eq!(change(), Some(None));
    }
}
