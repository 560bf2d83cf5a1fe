//! Those who wait for room in a memory budget, first come, first served.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::MemoryBudget;

#[derive(Default)]
pub(super) struct WaitQueue {
    /// How many are in `waiters`. Everybody who gives bytes back reads it without the lock.
    len: AtomicUsize,
    /// How many waiters got their room.
    grants: AtomicU64,
    waiters: Mutex<VecDeque<Waiter>>,
}

struct Waiter {
    bytes: usize,
    granted: oneshot::Sender<Granted>,
}

/// Bytes that the budget counts for a waiter, given back if nobody takes them.
struct Granted {
    budget: MemoryBudget,
    bytes: usize,
}

/// A place in the queue.
struct Place<'q> {
    queue: &'q WaitQueue,
    budget: &'q MemoryBudget,
    receiver: Option<oneshot::Receiver<Granted>>,
}

impl WaitQueue {
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn grants(&self) -> u64 {
        self.grants.load(Ordering::Relaxed)
    }

    /// Returns when the budget counts the bytes for the caller, who has to give them back.
    pub(super) async fn wait(&self, budget: &MemoryBudget, bytes: usize) {
        let (granted, receiver) = oneshot::channel();
        let mut place = {
            let mut waiters = self.lock();
            if waiters.is_empty() && budget.try_add(bytes, budget.max_waiting_bytes()) {
                return;
            }
            waiters.push_back(Waiter { bytes, granted });
            self.len.store(waiters.len(), Ordering::SeqCst);
            Place {
                queue: self,
                budget,
                receiver: Some(receiver),
            }
        };
        // Else bytes that were given back before `len` was stored would be missed.
        self.serve(budget);
        let received = match &mut place.receiver {
            Some(receiver) => receiver.await,
            None => return,
        };
        place.receiver = None;
        // The queue, which the budget keeps alive, drops no waiter that has not left.
        if let Ok(mut granted) = received {
            granted.bytes = 0;
        }
    }

    /// Grants what there is room for. Costs one atomic read if nobody waits.
    pub(super) fn serve(&self, budget: &MemoryBudget) {
        if self.len.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Dropped without the lock: giving bytes back serves the queue again.
        let mut unclaimed = Vec::new();
        let mut waiters = self.lock();
        while let Some(Waiter { bytes, .. }) = waiters.front()
            && budget.try_add(*bytes, budget.max_waiting_bytes())
            && let Some(Waiter { bytes, granted }) = waiters.pop_front()
        {
            self.grants.fetch_add(1, Ordering::Relaxed);
            let budget = budget.clone();
            unclaimed.extend(granted.send(Granted { budget, bytes }).err());
        }
        self.len.store(waiters.len(), Ordering::SeqCst);
        drop(waiters);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.budget.subtract(self.bytes);
    }
}

impl Drop for Place<'_> {
    /// Leaves the queue, and lets those behind advance.
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.take() {
            drop(receiver);
            let mut waiters = self.queue.lock();
            waiters.retain(|waiter| !waiter.granted.is_closed());
            self.queue.len.store(waiters.len(), Ordering::SeqCst);
            drop(waiters);
            self.queue.serve(self.budget);
        }
    }
}
