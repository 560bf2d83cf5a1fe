//! The tails of one stream: their wakers, and the batch they share.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use crate::batch::Batch;
use crate::entry::Entry;

/// The tails of one stream.
#[derive(Debug, Default)]
pub(crate) struct TailRegistry {
    count: usize,
    /// The tails that wait for the next add, by their numbers.
    parked: HashMap<u64, Waker>,
    /// The newest batch that a tail read, kept for those that read the same.
    newest: Option<Arc<Batch>>,
}

impl TailRegistry {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn register(&mut self) {
        self.count += 1;
    }

    /// Removes a tail. Returns the bytes of a batch that is no longer kept.
    pub(crate) fn unregister(&mut self, number: u64) -> usize {
        self.count -= 1;
        self.parked.remove(&number);
        if self.is_empty() {
            self.drop_newest()
        } else {
            0
        }
    }

    /// Wakes the tail at the next add.
    pub(crate) fn park(&mut self, number: u64, waker: &Waker) {
        match self.parked.get_mut(&number) {
            Some(parked) => parked.clone_from(waker),
            None => drop(self.parked.insert(number, waker.clone())),
        }
    }

    /// Wakes all parked tails after an add. Returns the bytes of a batch that is no longer kept.
    pub(crate) fn wake(&mut self) -> usize {
        for (_, waker) in self.parked.drain() {
            waker.wake();
        }
        self.drop_newest()
    }

    /// Returns the kept batch if it has exactly these entries.
    pub(crate) fn shared(&self, entries: &[Arc<Entry>]) -> Option<Arc<Batch>> {
        let newest = self.newest.as_ref()?;
        newest.has(entries).then(|| Arc::clone(newest))
    }

    /// Keeps a batch for tails that read the same. Returns the bytes of the batch it replaces. The
    /// caller has reserved room for the new one.
    pub(crate) fn share(&mut self, batch: &Arc<Batch>) -> usize {
        let freed = self.drop_newest();
        self.newest = Some(Arc::clone(batch));
        freed
    }

    fn drop_newest(&mut self) -> usize {
        self.newest.take().map_or(0, |batch| batch.bytes())
    }
}
