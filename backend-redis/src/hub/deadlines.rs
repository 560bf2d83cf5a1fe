//! The deadlines of all waits.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::hub::waiter::WaiterKey;

/// The deadlines of all waits, earliest first.
#[derive(Default)]
pub(super) struct Deadlines(BTreeMap<(Instant, u64), WaiterKey>);

impl Deadlines {
    pub(super) fn insert(&mut self, deadline: Option<Instant>, key: WaiterKey) {
        if let Some(deadline) = deadline {
            self.0.insert((deadline, key.number), key);
        }
    }

    pub(super) fn remove(&mut self, deadline: Option<Instant>, number: u64) {
        if let Some(deadline) = deadline {
            self.0.remove(&(deadline, number));
        }
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.0.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Removes one waiter whose deadline has passed, and returns its key.
    pub(super) fn pop_overdue(&mut self, now: Instant) -> Option<WaiterKey> {
        let entry = self.0.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
