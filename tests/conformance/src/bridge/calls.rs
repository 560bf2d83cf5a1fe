//! Calls in flight to a runtime.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::oneshot;

use super::message::CallResult;

pub(super) type Answer = oneshot::Sender<CacheResult<CallResult>>;

/// The receivers of the answers, by call number.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    /// `None` once the runtime has ended.
    waiting: Arc<Mutex<Option<HashMap<u64, Answer>>>>,
}

impl Calls {
    pub(super) fn open() -> Self {
        Self {
            waiting: Arc::new(Mutex::new(Some(HashMap::new()))),
        }
    }

    /// Registers call `n`. The receiver ends at once if the runtime has ended.
    pub(super) fn expect(&self, n: u64) -> oneshot::Receiver<CacheResult<CallResult>> {
        let (answer, receiver) = oneshot::channel();
        if let Some(waiting) = &mut *self.lock() {
            waiting.insert(n, answer);
        }
        receiver
    }

    /// Removes call `n` and returns its receiver, if it is still in flight.
    pub(super) fn forget(&self, n: u64) -> Option<Answer> {
        self.lock().as_mut()?.remove(&n)
    }

    /// Ends all calls, and all later ones.
    pub(super) fn close(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Answer>>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a call whose runtime has ended.
pub(super) fn runtime_ended() -> CacheError {
    CacheError::InternalError("the runtime has ended".to_owned())
}
