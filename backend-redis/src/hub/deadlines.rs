//! When waits end.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::hub::message::WaiterKey;

/// The deadlines of all who wait, earliest first.
#[derive(Default)]
pub(super) struct Deadlines(BTreeMap<(Instant, u64), WaiterKey>);

impl Deadlines {
    pub(super) fn insert(&mut self, deadline: Option<Instant>, address: WaiterKey) {
        if let Some(deadline) = deadline {
            self.0.insert((deadline, address.number), address);
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

    /// Takes one that has passed.
    pub(super) fn pop(&mut self, now: Instant) -> Option<WaiterKey> {
        let entry = self.0.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
