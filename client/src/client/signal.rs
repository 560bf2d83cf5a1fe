//! What a client tells its driver without a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Is queued for the driver at most once: a second time would tell it nothing, and nothing else
/// bounds how often callers raise it.
#[derive(Debug, Default)]
pub(super) struct Signal(Arc<AtomicBool>);

/// Travels with the command. The signal can be raised again once the driver drops it.
#[derive(Debug)]
pub(crate) struct QueuedSignal(Arc<AtomicBool>);

impl Signal {
    /// Returns what to queue, unless the signal is queued already.
    pub(super) fn raise(&self) -> Option<QueuedSignal> {
        let was_queued = self.0.swap(true, Ordering::AcqRel);
        (!was_queued).then(|| QueuedSignal(Arc::clone(&self.0)))
    }
}

impl Drop for QueuedSignal {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
