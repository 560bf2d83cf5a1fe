//! Whether Redis is there, for all who want to know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;
use tokio::sync::watch;

use crate::wire::errors;

/// Why Redis is away, while it is on one way or another. Clones share it.
#[derive(Clone)]
pub(crate) struct RedisAvailability(Arc<AvailabilityState>);

/// A connection that Redis may be away on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConnectionKind {
    /// That for commands.
    Commands,
    /// That of all who wait.
    Hub,
}

struct AvailabilityState {
    /// By way.
    away: Mutex<[Option<CacheError>; 2]>,
    told: watch::Sender<Option<CacheError>>,
}

impl Default for RedisAvailability {
    fn default() -> Self {
        Self(Arc::new(AvailabilityState {
            away: Mutex::default(),
            told: watch::Sender::new(None),
        }))
    }
}

impl RedisAvailability {
    /// Sees what is told from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<CacheError>> {
        self.0.told.subscribe()
    }

    pub(crate) fn reason(&self, way: ConnectionKind) -> Option<CacheError> {
        self.0.lock()[way as usize].clone()
    }

    pub(crate) fn set_available(&self, way: ConnectionKind) {
        self.tell(way, None);
    }

    /// The connection is lost, or cannot be made for that reason.
    pub(crate) fn set_unavailable(&self, way: ConnectionKind, why: CacheError) {
        let why = match why.code() {
            code::DISCONNECTED => errors::disconnected(),
            _ => why,
        };
        self.tell(way, Some(why));
    }

    fn tell(&self, way: ConnectionKind, away: Option<CacheError>) {
        let mut ways = self.0.lock();
        ways[way as usize] = away;
        let away = ways.iter().flatten().next();
        self.0.told.send_if_modified(|told| {
            // The same code in other words is no news.
            let [old, new] = [told.as_ref(), away].map(|away| away.map(CacheError::code));
            let is_news = old != new;
            if is_news {
                if let Some(why) = away {
                    tracing::warn!(%why, "Redis is away");
                }
                *told = away.cloned();
            }
            is_news
        });
    }
}

impl AvailabilityState {
    fn lock(&self) -> MutexGuard<'_, [Option<CacheError>; 2]> {
        // Nothing that can panic happens under the lock.
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_when_it_is_on_both_ways() {
        let availability = RedisAvailability::default();
        let mut watch = availability.watch();
        let away = |code| CacheError::from_code(code, "why");
        let mut told = || {
            watch.has_changed().unwrap().then(|| {
                let away = watch.borrow_and_update();
                away.as_ref().map(|why| why.code().to_owned())
            })
        };
        availability.set_unavailable(ConnectionKind::Hub, away("WRONGPASS"));
        assert_eq!(told(), Some(Some("WRONGPASS".to_owned())));
        availability.set_unavailable(ConnectionKind::Commands, away("DISCONNECTED"));
        assert_eq!(told(), Some(Some("DISCONNECTED".to_owned())));
        availability.set_unavailable(ConnectionKind::Commands, away("DISCONNECTED"));
        assert_eq!(told(), None);
        availability.set_available(ConnectionKind::Commands);
        assert_eq!(told(), Some(Some("WRONGPASS".to_owned())));
        availability.set_available(ConnectionKind::Hub);
        assert_eq!(told(), Some(None));
    }
}
