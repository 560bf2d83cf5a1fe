//! Whether Redis is there, for all who want to know.

use streamgate_protocol::CacheError;
use tokio::sync::watch;

/// Why Redis is away, while it is.
pub(super) struct Availability(watch::Sender<Option<CacheError>>);

impl Default for Availability {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Availability {
    /// Sees what is told from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Option<CacheError>> {
        self.0.subscribe()
    }

    pub(super) fn why_away(&self) -> Option<CacheError> {
        self.0.borrow().clone()
    }

    pub(super) fn is_there(&self) {
        self.tell(None);
    }

    pub(super) fn is_away(&self, why: CacheError) {
        self.tell(Some(why));
    }

    /// The same code in other words is no news.
    fn tell(&self, away: Option<CacheError>) {
        self.0.send_if_modified(|told| {
            let [old, new] = [&*told, &away].map(|away| away.as_ref().map(CacheError::code));
            if old == new {
                return false;
            }
            *told = away;
            true
        });
    }
}
