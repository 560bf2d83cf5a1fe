//! Whether Redis is there, for all who want to know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;
use tokio::sync::watch;

use crate::wire::errors;

/// Why Redis is away, while it is on one way or another. Clones share it.
#[derive(Clone)]
pub(crate) struct Availability(Arc<Shared>);

/// A connection that Redis may be away on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// That for commands.
    Commands,
    /// That of all who wait.
    Waits,
}

struct Shared {
    /// By way.
    away: Mutex<[Option<CacheError>; 2]>,
    told: watch::Sender<Option<CacheError>>,
}

impl Default for Availability {
    fn default() -> Self {
        Self(Arc::new(Shared {
            away: Mutex::default(),
            told: watch::Sender::new(None),
        }))
    }
}

impl Availability {
    /// Sees what is told from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<CacheError>> {
        self.0.told.subscribe()
    }

    pub(crate) fn why_away(&self, way: Way) -> Option<CacheError> {
        self.0.lock()[way as usize].clone()
    }

    pub(crate) fn is_there(&self, way: Way) {
        self.tell(way, None);
    }

    /// The connection is lost, or cannot be made for that reason.
    pub(crate) fn is_away(&self, way: Way, why: CacheError) {
        let why = match why.code() {
            code::DISCONNECTED => errors::disconnected(),
            _ => why,
        };
        self.tell(way, Some(why));
    }

    fn tell(&self, way: Way, away: Option<CacheError>) {
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

impl Shared {
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
        let availability = Availability::default();
        let mut watch = availability.watch();
        let away = |code| CacheError::from_code(code, "why");
        let mut told = || {
            watch.has_changed().unwrap().then(|| {
                let away = watch.borrow_and_update();
                away.as_ref().map(|why| why.code().to_owned())
            })
        };
        availability.is_away(Way::Waits, away("WRONGPASS"));
        assert_eq!(told(), Some(Some("WRONGPASS".to_owned())));
        availability.is_away(Way::Commands, away("DISCONNECTED"));
        assert_eq!(told(), Some(Some("DISCONNECTED".to_owned())));
        availability.is_away(Way::Commands, away("DISCONNECTED"));
        assert_eq!(told(), None);
        availability.is_there(Way::Commands);
        assert_eq!(told(), Some(Some("WRONGPASS".to_owned())));
        availability.is_there(Way::Waits);
        assert_eq!(told(), Some(None));
    }
}
