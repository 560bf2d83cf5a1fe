//! Whether Redis runs scripts of one kind: those that bound pages, or that of idempotent adds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use streamgate_protocol::CacheError;

use crate::wire::errors;

/// Each new connection for commands tries it. Clones share what is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScriptAccess {
    is_refused: Arc<AtomicBool>,
}

impl ScriptAccess {
    pub(crate) fn is_allowed(&self) -> bool {
        !self.is_refused.load(Ordering::Relaxed)
    }

    /// Records whether Redis runs scripts on a new connection.
    pub(crate) fn set_allowed(&self, is_allowed: bool) {
        self.is_refused.store(!is_allowed, Ordering::Relaxed);
    }

    /// Returns whether Redis refused a script with this error, and records that.
    pub(crate) fn record(&self, error: &CacheError) -> bool {
        let is_refusal = errors::refuses_command(error);
        if is_refusal {
            self.is_refused.store(true, Ordering::Relaxed);
        }
        is_refusal
    }
}
