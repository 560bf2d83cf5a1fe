//! A call that waits for an entry.

use std::time::Duration;

use streamgate_protocol::{CacheError, CacheResult, Reply};
use tokio::time::{Instant, timeout_at};

use crate::answer::Answer;
use crate::shared_store::SharedStore;
use crate::waiter::Registration;

/// A call that waits for an entry. Dropping it removes its registration from the store.
pub(crate) struct WaitingCall<'a> {
    store: &'a SharedStore,
    registration: Registration,
    deadline: Option<Instant>,
    /// Whether the store may still hold the registration.
    registered: bool,
}

impl<'a> WaitingCall<'a> {
    /// The time limit runs from here, not from the first poll.
    pub(crate) fn new(store: &'a SharedStore, registration: Registration) -> Self {
        let limit = Some(registration.block_ms)
            .filter(|&ms| ms > 0)
            .map(Duration::from_millis);
        // A limit after the end of the clock is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Self {
            store,
            registration,
            deadline,
            registered: true,
        }
    }

    /// Returns the entry that ends the wait, or no entry after the time limit.
    pub(crate) async fn reply(mut self) -> CacheResult<Reply> {
        let receiver = &mut self.registration.receiver;
        let received = match self.deadline {
            None => Some(receiver.await),
            Some(deadline) => timeout_at(deadline, receiver).await.ok(),
        };
        let entry = match received {
            Some(Ok(entry)) => {
                self.registered = false;
                Some(entry)
            }
            // Unreachable: the store outlives this borrow and drops no sender unused.
            Some(Err(_)) => {
                let why = "the store dropped a waiting call".to_owned();
                return Err(CacheError::InternalError(why));
            }
            // An add may have sent its entry after the time limit. None can once the call is
            // unregistered.
            None => {
                self.unregister();
                self.registration.receiver.try_recv().ok()
            }
        };
        let after = self.registration.after.take();
        Ok(Answer::Entries {
            entries: entry.into_iter().collect(),
            after,
            more: false,
        }
        .into())
    }

    fn unregister(&mut self) {
        if self.registered {
            self.store.lock().unregister(&self.registration.key);
            self.registered = false;
        }
    }
}

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        self.unregister();
    }
}
