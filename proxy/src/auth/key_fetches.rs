//! The fetches of an issuer's keys, as sessions see them: they ask for one, and wait until it has
//! ended.

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

/// Counts the fetches. Outlives the policies, so that no change of one loses a request.
#[derive(Debug)]
pub(crate) struct KeyFetches {
    counts: watch::Sender<FetchCounts>,
    asked: Notify,
}

#[derive(Debug, Clone, Copy, Default)]
struct FetchCounts {
    begun: u64,
    /// One fetch at a time: all but the last that has begun, or that one too.
    ended: u64,
    /// Whether the last that has ended has failed.
    has_failed: bool,
}

/// A fetch that begins after this was created.
#[derive(Debug, Clone)]
pub(crate) struct NextFetch {
    counts: watch::Receiver<FetchCounts>,
    /// How many fetches had begun before.
    begun: u64,
}

/// How far a fetch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchOutcome {
    /// It has not ended.
    Pending,
    /// It has ended without keys.
    Failed,
    /// It has brought keys.
    Fetched,
}

impl KeyFetches {
    pub(crate) fn new() -> Self {
        Self {
            counts: watch::channel(FetchCounts::default()).0,
            asked: Notify::new(),
        }
    }

    /// Returns the next fetch. Somebody has yet to [ask](Self::ask) for it.
    pub(crate) fn next(&self) -> NextFetch {
        let counts = self.counts.subscribe();
        let begun = counts.borrow().begun;
        NextFetch { counts, begun }
    }

    /// Asks for a fetch.
    pub(crate) fn ask(&self) {
        self.asked.notify_one();
    }

    /// Returns the `Notify` that is woken when a session asks for keys.
    pub(crate) fn asked(&self) -> &Notify {
        &self.asked
    }

    pub(crate) fn begin(&self) {
        // Nobody waits for that.
        self.counts.send_if_modified(|counts| {
            counts.begun += 1;
            false
        });
    }

    /// Records the end of a fetch, after its keys are in force.
    pub(crate) fn end(&self, has_failed: bool) {
        self.counts.send_modify(|counts| {
            counts.ended = counts.begun;
            counts.has_failed = has_failed;
        });
    }
}

impl NextFetch {
    /// Waits until it has ended, or one before it, which may have brought the same; not longer than
    /// until a time.
    pub(crate) async fn ended(mut self, until: Instant) {
        // An error means that the server is gone, and its sessions with it.
        let _ = timeout_at(until, self.counts.changed()).await;
    }

    /// Returns what is known of it now. Later [waits](Self::ended) are for later ends.
    pub(crate) fn outcome(&mut self) -> FetchOutcome {
        let counts = *self.counts.borrow_and_update();
        match counts.ended > self.begun {
            false => FetchOutcome::Pending,
            true if counts.has_failed => FetchOutcome::Failed,
            true => FetchOutcome::Fetched,
        }
    }
}
