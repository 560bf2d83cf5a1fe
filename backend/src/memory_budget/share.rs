//! What one peer holds of a memory budget.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use streamgate_protocol::CacheResult;
use tokio::sync::Notify;

use super::{MemoryBudget, MemoryKind, Reservation};

/// What one peer holds of a [`MemoryBudget`]. Clones share it.
#[derive(Clone)]
pub struct MemoryShare(Arc<ShareState>);

struct ShareState {
    id: u64,
    budget: MemoryBudget,
    used: AtomicUsize,
    reserved_elsewhere: AtomicUsize,
    evicted: Notify,
}

impl MemoryShare {
    pub(super) fn new(budget: MemoryBudget) -> Self {
        let registry = budget.clone();
        registry.0.shares.register(budget)
    }

    /// Returns the budget.
    pub fn budget(&self) -> &MemoryBudget {
        &self.0.budget
    }

    /// Returns the bytes that this peer holds, with those
    /// [reserved elsewhere](Self::set_reserved_elsewhere).
    pub fn used_bytes(&self) -> usize {
        let elsewhere = self.0.reserved_elsewhere.load(Ordering::Relaxed);
        self.0.used.load(Ordering::Relaxed) + elsewhere
    }

    /// Sets the bytes that a backend may have reserved because of this peer, which the backend does
    /// not know. They count for the peer, and not once more for the budget.
    pub fn set_reserved_elsewhere(&self, bytes: usize) {
        self.0.reserved_elsewhere.store(bytes, Ordering::Relaxed);
    }

    /// As [`MemoryBudget::try_reserve`], for this peer.
    ///
    /// # Errors
    ///
    /// `OVERLOADED`.
    pub fn try_reserve(&self, kind: MemoryKind, bytes: usize) -> CacheResult<Reservation> {
        self.0.budget.try_reserve_for(Some(self), kind, bytes)
    }

    /// As [`MemoryBudget::reserve`], for this peer.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` if so many bytes can never be reserved.
    pub async fn reserve(&self, kind: MemoryKind, bytes: usize) -> CacheResult<Reservation> {
        self.0.budget.reserve_for(Some(self), kind, bytes).await
    }

    /// As [`MemoryBudget::charge`], for this peer.
    pub fn charge(&self, kind: MemoryKind, bytes: usize) -> Reservation {
        self.0.budget.charge_for(Some(self), kind, bytes)
    }

    /// Makes [`evicted`](Self::evicted) return.
    pub fn evict(&self) {
        self.0.evicted.notify_one();
    }

    /// Returns when this peer has to go, so that others have room.
    ///
    /// # Cancel safety
    ///
    /// An eviction is kept for the next call.
    pub async fn evicted(&self) {
        self.0.evicted.notified().await;
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for ShareState {
    fn drop(&mut self) {
        self.budget.0.shares.lock().by_id.remove(&self.id);
    }
}

impl fmt::Debug for MemoryShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryShare")
            .field("used_bytes", &self.used_bytes())
            .finish_non_exhaustive()
    }
}

/// All shares of a budget.
#[derive(Default)]
pub(super) struct ShareRegistry(Mutex<Shares>);

#[derive(Default)]
struct Shares {
    next_id: u64,
    by_id: HashMap<u64, Weak<ShareState>>,
}

impl ShareRegistry {
    fn register(&self, budget: MemoryBudget) -> MemoryShare {
        let mut shares = self.lock();
        let id = shares.next_id;
        shares.next_id += 1;
        let share = Arc::new(ShareState {
            id,
            budget,
            used: AtomicUsize::new(0),
            reserved_elsewhere: AtomicUsize::new(0),
            evicted: Notify::new(),
        });
        shares.by_id.insert(id, Arc::downgrade(&share));
        MemoryShare(share)
    }

    pub(super) fn all(&self) -> Vec<MemoryShare> {
        let all: Vec<_> = self.lock().by_id.values().cloned().collect();
        // Without the lock: if this drops the last clone of a share, that share takes it.
        let shares = all.iter().filter_map(Weak::upgrade);
        shares.map(MemoryShare).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
