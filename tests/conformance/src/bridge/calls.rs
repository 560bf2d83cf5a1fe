//! Calls that are under way in a runtime.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::oneshot;

use super::message::CallResult;

pub(super) type Answer = oneshot::Sender<CacheResult<CallResult>>;

/// Who waits for which call's answer.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    /// `None` once the runtime went away.
    waiting: Arc<Mutex<Option<HashMap<u64, Answer>>>>,
}

impl Calls {
    pub(super) fn open() -> Self {
        Self {
            waiting: Arc::new(Mutex::new(Some(HashMap::new()))),
        }
    }

    /// A place for the answer of call `n`; it ends at once if the runtime went away.
    pub(super) fn expect(&self, n: u64) -> oneshot::Receiver<CacheResult<CallResult>> {
        let (answer, receiver) = oneshot::channel();
        if let Some(waiting) = &mut *self.lock() {
            waiting.insert(n, answer);
        }
        receiver
    }

    /// Whom to answer call `n`, if it was still under way. It no longer is.
    pub(super) fn forget(&self, n: u64) -> Option<Answer> {
        self.lock().as_mut()?.remove(&n)
    }

    /// Ends all calls, and those to come.
    pub(super) fn close(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Answer>>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a call whose runtime went away.
pub(super) fn gone() -> CacheError {
    CacheError::InternalError("the runtime went away".to_owned())
}
