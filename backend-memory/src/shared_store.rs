//! The lock around the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Store;

/// A handle to a [`Store`]. Clones share it.
#[derive(Clone)]
pub(crate) struct SharedStore(Arc<Mutex<Store>>);

impl SharedStore {
    pub(crate) fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// Locks the store. Nobody holds the lock across an await.
    ///
    /// Ignores poisoning: no code panics between two changes that belong together, so the store is
    /// consistent even after a panic.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
