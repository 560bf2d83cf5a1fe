//! Whether the server's backend is available, and what the owner knows of it.

use super::time::Millis;

/// How long a backend must be available before the owner hears of it: a backend that flaps changes
/// the state once.
pub(super) const SETTLE_MS: u64 = 1_000;

/// The availability of the backend of one connection's server.
#[derive(Debug, Default)]
pub(super) struct Availability {
    /// The last word of the server.
    is_unavailable: bool,
    /// The error code of the degraded state, while that is the owner's state.
    reported: Option<String>,
    /// When the state becomes open again.
    settles_at: Option<Millis>,
}

impl Availability {
    pub(super) const fn is_unavailable(&self) -> bool {
        self.is_unavailable
    }

    /// Records why the backend is unavailable. Returns whether the owner's state changes.
    pub(super) fn record_unavailable(&mut self, code: &str) -> bool {
        self.is_unavailable = true;
        self.settles_at = None;
        let is_news = self.reported.as_deref() != Some(code);
        if is_news {
            self.reported = Some(code.to_owned());
        }
        is_news
    }

    /// Records that the backend is available.
    pub(super) fn record_available(&mut self, now: Millis) {
        self.is_unavailable = false;
        if self.reported.is_some() {
            self.settles_at.get_or_insert(now + SETTLE_MS);
        }
    }

    /// Returns whether the owner's state changes to open now.
    pub(super) fn settle(&mut self, now: Millis) -> bool {
        let is_due = self.settles_at.is_some_and(|at| now >= at);
        if is_due {
            *self = Self::default();
        }
        is_due
    }

    pub(super) const fn next_deadline(&self) -> Option<Millis> {
        self.settles_at
    }
}
