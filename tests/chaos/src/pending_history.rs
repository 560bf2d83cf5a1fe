//! For whom entries were pending over time. It tells a reclaimed entry, which may be delivered
//! again, from one that may not.

use std::collections::BTreeMap;

use streamgate_protocol::EntryId;

/// The owners of pending entries, as sampled from Redis again and again.
#[derive(Debug, Default)]
pub(crate) struct PendingHistory {
    /// The start of the run in ms since 1970, as in ids.
    pub(crate) started: u64,
    /// When each sample was requested and answered, in ms since the start of the run.
    pub(crate) samples: Vec<(u32, u32)>,
    /// By the stream's index and the entry's id: its owners in turn, none twice in a row.
    pub(crate) owners: BTreeMap<(usize, EntryId), Vec<String>>,
}

impl PendingHistory {
    /// Records a sample of one stream: ids and their owners.
    pub(crate) fn record(&mut self, stream: usize, pending: BTreeMap<EntryId, String>) {
        for (id, owner) in pending {
            let owners = self.owners.entry((stream, id)).or_default();
            if owners.last() != Some(&owner) {
                owners.push(owner);
            }
        }
    }

    /// Returns when an entry was added, in ms since the start of the run.
    pub(crate) fn added_at(&self, id: EntryId) -> u32 {
        u32::try_from(id.ms.saturating_sub(self.started)).unwrap_or(u32::MAX)
    }

    /// Returns how often another consumer reclaimed an entry from this one.
    pub(crate) fn reclaimed_from(&self, stream: usize, id: EntryId, consumer: &str) -> usize {
        let owners = self.owners.get(&(stream, id));
        let pairs = owners.into_iter().flat_map(|owners| owners.windows(2));
        pairs.filter(|pair| pair[0] == consumer).count()
    }

    /// Whether the samples between two times are so dense that no consumer can have owned an entry
    /// for `longest` ms unobserved.
    pub(crate) fn covers(&self, from: u32, to: u32, longest: u32) -> bool {
        let first = self
            .samples
            .iter()
            .take_while(|(requested, _)| *requested <= from);
        let samples = self.samples.get(first.count().saturating_sub(1)..);
        let samples = samples.unwrap_or_default();
        let covers = samples
            .first()
            .is_some_and(|(requested, _)| *requested <= from)
            && samples.last().is_some_and(|(_, answered)| *answered >= to);
        let mut within = samples.windows(2).take_while(|pair| pair[0].0 <= to);
        covers && within.all(|pair| pair[1].1 - pair[0].0 < longest)
    }
}
