//! Counts by key, such as by address. Each exists while somebody holds it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts that somebody holds. Clones share them.
#[derive(Debug)]
pub(crate) struct KeyedCounts<K>(Arc<Mutex<HashMap<K, Arc<AtomicUsize>>>>);

/// The count of one key, shared by all who hold it.
#[derive(Debug)]
pub(crate) struct KeyedCount<K: Copy + Eq + Hash> {
    counts: KeyedCounts<K>,
    key: K,
    count: Arc<AtomicUsize>,
}

impl<K: Copy + Eq + Hash> KeyedCounts<K> {
    /// Returns the count of a key.
    pub(crate) fn of(&self, key: K) -> KeyedCount<K> {
        let count = Arc::clone(self.lock().entry(key).or_default());
        KeyedCount {
            counts: self.clone(),
            key,
            count,
        }
    }

    /// Returns how many keys have a count.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<AtomicUsize>>> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> KeyedCount<K> {
    pub(crate) fn key(&self) -> K {
        self.key
    }

    pub(crate) fn value(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: usize) {
        self.count.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts one more, unless there are `max` already.
    pub(crate) fn try_add_one(&self, max: usize) -> bool {
        let add = |count| (count < max).then_some(count + 1);
        let added = self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.is_ok()
    }

    pub(crate) fn subtract(&self, count: usize) {
        self.count.fetch_sub(count, Ordering::Relaxed);
    }
}

impl<K> Clone for KeyedCounts<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for KeyedCounts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Eq + Hash> Drop for KeyedCount<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        // The map's own, and this one. Others are made under the lock only.
        if Arc::strong_count(&self.count) == 2 {
            counts.remove(&self.key);
        }
        // Without it, the last two to go could both see three.
        self.count = Arc::default();
        drop(counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_key_shares_its_count_until_the_last_one_goes() {
        let counts = KeyedCounts::default();
        let (first, second, other) = (counts.of('a'), counts.of('a'), counts.of('b'));
        first.add(2);
        assert!(second.try_add_one(3));
        assert!(!second.try_add_one(3));
        assert_eq!((first.value(), other.value()), (3, 0));
        drop(first);
        assert_eq!((second.value(), counts.len()), (3, 2));
        drop((second, other));
        assert_eq!(counts.len(), 0);
        assert_eq!(counts.of('a').value(), 0);
    }
}
