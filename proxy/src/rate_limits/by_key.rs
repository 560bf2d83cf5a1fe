//! The rates of each subject and of each address.
//!
//! They outlive the sockets that used them, so that a new socket is no new rate. Those that are
//! unused again are forgotten from time to time. There are at most [`MAX_KEYS`]; the keys beyond
//! them share one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::sync::watch;
use tokio::time::Instant;

use super::limits::{Limits, SubjectLimits};
use super::{Rate, RequestBuckets, TokenBucket};
use crate::address_key::AddressKey;

/// Keys that are remembered without a look at which of them are unused.
const MIN_KEYS: usize = 1_024;

/// Most keys of a kind: about 15 MiB of subjects.
const MAX_KEYS: usize = 65_536;

/// The shortest time between two looks at which of [`MAX_KEYS`] are unused: each takes milliseconds.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Whose limits these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LimitKey {
    /// A subject, by a hash of what tells it from others.
    Subject([u8; 16]),
    /// The anonymous clients of an address.
    Anonymous(AddressKey),
}

impl LimitKey {
    pub(crate) fn of_subject(mark: &str) -> Self {
        let mut key = [0; 16];
        let hash = digest(&SHA256, mark.as_bytes());
        key.iter_mut().zip(hash.as_ref()).for_each(|(k, h)| *k = *h);
        Self::Subject(key)
    }
}

/// What a subject uses on all its sockets.
#[derive(Debug, Default)]
pub(crate) struct SubjectUse {
    pub(crate) requests: RequestBuckets,
    pub(crate) new_windows: TokenBucket,
    sockets: u32,
}

/// The limits of a server, and how much of them is used.
#[derive(Debug)]
pub(crate) struct RateLimits {
    /// `None` if nothing is limited.
    in_force: watch::Sender<Option<Limits>>,
    subjects: Mutex<Keyed<LimitKey, Arc<Mutex<SubjectUse>>>>,
    /// The attempts of each address to connect.
    connections: Mutex<Keyed<AddressKey, TokenBucket>>,
}

/// A socket that counts for its subject.
#[derive(Debug)]
pub(crate) struct SubjectShare(Arc<Mutex<SubjectUse>>);

#[derive(Debug)]
struct Keyed<K, V> {
    values: HashMap<K, V>,
    /// Where to look for unused ones.
    max: usize,
    swept_at: Option<Instant>,
    /// What keys share for which there is no room.
    others: V,
}

impl<K, V: Default> Default for Keyed<K, V> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            max: MIN_KEYS,
            swept_at: None,
            others: V::default(),
        }
    }
}

impl<K: Eq + Hash, V: Default> Keyed<K, V> {
    fn of(&mut self, key: K, now: Instant, is_unused: impl FnMut(&mut V) -> bool) -> &mut V {
        if self.values.len() >= self.max && !self.values.contains_key(&key) {
            self.sweep(now, is_unused);
            if self.values.len() >= MAX_KEYS {
                return &mut self.others;
            }
        }
        self.values.entry(key).or_default()
    }

    /// Forgets what is unused.
    fn sweep(&mut self, now: Instant, mut is_unused: impl FnMut(&mut V) -> bool) {
        let is_due = self
            .swept_at
            .is_none_or(|at| now.duration_since(at) >= SWEEP_INTERVAL);
        if self.values.len() < MAX_KEYS || is_due {
            self.values.retain(|_, value| !is_unused(value));
            self.max = (2 * self.values.len()).clamp(MIN_KEYS, MAX_KEYS);
            self.swept_at = Some(now);
        }
    }
}

impl RateLimits {
    pub(crate) fn new(limits: Option<Limits>) -> Self {
        Self {
            in_force: watch::Sender::new(limits),
            subjects: Mutex::default(),
            connections: Mutex::default(),
        }
    }

    /// Returns the limits that are in force, and sees their changes.
    pub(crate) fn in_force(&self) -> watch::Receiver<Option<Limits>> {
        self.in_force.subscribe()
    }

    /// Replaces the limits. What is used stays used, and open sockets stay open.
    pub(crate) fn replace(&self, limits: Option<Limits>) {
        self.in_force.send_replace(limits);
    }

    /// Counts a socket for its subject; returns `None` if that has as many as it may.
    pub(crate) fn join(&self, key: LimitKey) -> Option<SubjectShare> {
        let now = Instant::now();
        let limits = self.in_force.borrow().map(|limits| limits.per_subject);
        let mut all = lock(&self.subjects);
        let shared = all.of(key, now, |shared| lock(shared).is_unused(limits, now));
        let mut used = lock(shared);
        if limits.is_some_and(|limits| used.sockets >= limits.sockets) {
            return None;
        }
        used.sockets += 1;
        drop(used);
        Some(SubjectShare(Arc::clone(shared)))
    }

    /// Returns whether an address may connect now.
    pub(crate) fn admit_connection(&self, address: AddressKey) -> bool {
        let Some(limits) = *self.in_force.borrow() else {
            return true;
        };
        let rate = Rate::of(limits.per_address.connections_per_s);
        let now = Instant::now();
        let mut all = lock(&self.connections);
        let bucket = all.of(address, now, |bucket| bucket.is_full(rate, now));
        bucket.try_take(1, rate, now).is_ok()
    }
}

impl SubjectUse {
    fn is_unused(&mut self, limits: Option<SubjectLimits>, now: Instant) -> bool {
        self.sockets == 0
            && limits.is_none_or(|limits| {
                let new_windows = Rate::of(limits.new_windows_per_s);
                self.requests.are_full(limits.rates(), now)
                    && self.new_windows.is_full(new_windows, now)
            })
    }
}

impl SubjectShare {
    pub(crate) fn used(&self) -> MutexGuard<'_, SubjectUse> {
        lock(&self.0)
    }
}

impl Drop for SubjectShare {
    fn drop(&mut self) {
        self.used().sockets -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn address(n: u32) -> AddressKey {
        AddressKey::of((n.to_be_bytes(), 1).into())
    }

    fn limits(change: impl FnOnce(&mut Limits)) -> RateLimits {
        let mut limits = Limits::default();
        change(&mut limits);
        RateLimits::new(Some(limits))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_connects_at_its_rate_and_is_forgotten_once_it_rests() {
        let rates = limits(|limits| limits.per_address.connections_per_s = 2);
        let admitted = |address| (0..100).filter(|_| rates.admit_connection(address)).count();
        assert_eq!((admitted(address(0)), admitted(address(1))), (10, 10));
        advance(Duration::from_secs(1)).await;
        assert_eq!(admitted(address(0)), 2);
        for n in 0..5_000 {
            rates.admit_connection(address(n));
        }
        advance(Duration::from_secs(10)).await;
        for n in 5_000..10_000 {
            rates.admit_connection(address(n));
        }
        let remembered = lock(&rates.connections).values.len();
        assert!(remembered < 9_000, "{remembered}");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_beyond_the_bound_share_one_rate_until_others_rest() {
        let rates = limits(|limits| limits.per_address.connections_per_s = 2);
        let bound = u32::try_from(MAX_KEYS).unwrap();
        assert!((0..bound).all(|n| rates.admit_connection(address(n))));
        let beyond = || (bound..bound + 100).filter(|n| rates.admit_connection(address(*n)));
        assert_eq!(beyond().count(), 10);
        assert_eq!(lock(&rates.connections).values.len(), MAX_KEYS);
        assert!(rates.admit_connection(address(7)), "it has its own");
        advance(Duration::from_secs(10)).await;
        assert_eq!(beyond().count(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_subject_has_its_sockets_and_its_use_outlives_them() {
        let rates = limits(|limits| limits.per_subject.sockets = 2);
        let [ann, bob] = ["ann", "bob"].map(LimitKey::of_subject);
        let first = rates.join(ann).unwrap();
        let second = rates.join(ann).unwrap();
        assert!(rates.join(ann).is_none());
        assert!(rates.join(bob).is_some());
        let (now, rate) = (Instant::now(), Rate::of(1));
        first.used().new_windows.try_take(5, rate, now).unwrap();
        drop((first, second));
        let again = rates.join(ann).unwrap();
        assert!(again.used().new_windows.try_take(1, rate, now).is_err());
    }

    #[test]
    fn without_limits_sockets_are_counted_for_those_that_come_later() {
        let rates = RateLimits::new(None);
        let ann = LimitKey::of_subject("ann");
        let sockets: Vec<_> = (0..1_000).map(|_| rates.join(ann).unwrap()).collect();
        assert!((0..10_000).all(|_| rates.admit_connection(address(1))));
        rates.replace(Some(Limits::default()));
        assert!(rates.join(ann).is_none());
        drop(sockets);
        assert!(rates.join(ann).is_some());
    }
}
