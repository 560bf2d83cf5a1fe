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
    /// By the stream's index and the entry's id: what was observed of it in turn, without
    /// repetitions.
    pub(crate) owners: BTreeMap<(usize, EntryId), Vec<Holding>>,
}

/// A pending entry in one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingState {
    pub(crate) owner: String,
    /// Since its last delivery, in ms.
    pub(crate) idle: u64,
    pub(crate) deliveries: u64,
}

/// A time in which a pending entry had one owner and one count of deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) owner: String,
    pub(crate) deliveries: u64,
    /// When it was observed first, in ms since the start of the run.
    pub(crate) since: u32,
    /// The idle time when it was observed last.
    pub(crate) idle: u64,
    /// How often the idle time began anew meanwhile.
    pub(crate) idle_resets: u32,
}

/// By how much an idle time may shrink without a reset: clocks of samples are not exact.
const IDLE_TOLERANCE_MS: u64 = 20;

impl PendingHistory {
    /// Records a sample of one stream, which was answered at this time.
    pub(crate) fn record(
        &mut self,
        stream: usize,
        pending: BTreeMap<EntryId, PendingState>,
        at: u32,
    ) {
        for (id, state) in pending {
            let holdings = self.owners.entry((stream, id)).or_default();
            match holdings.last_mut() {
                Some(last) if last.owner == state.owner && last.deliveries == state.deliveries => {
                    let is_reset = state.idle + IDLE_TOLERANCE_MS < last.idle;
                    last.idle_resets += u32::from(is_reset);
                    last.idle = state.idle;
                }
                _ => holdings.push(Holding {
                    owner: state.owner,
                    deliveries: state.deliveries,
                    since: at,
                    idle: state.idle,
                    idle_resets: 0,
                }),
            }
        }
    }

    /// Returns when an entry was added, in ms since the start of the run.
    pub(crate) fn added_at(&self, id: EntryId) -> u32 {
        u32::try_from(id.ms.saturating_sub(self.started)).unwrap_or(u32::MAX)
    }

    /// Returns how often another consumer reclaimed an entry from this one.
    pub(crate) fn reclaimed_from(&self, stream: usize, id: EntryId, consumer: &str) -> usize {
        let holdings = self.owners.get(&(stream, id));
        let pairs = holdings
            .into_iter()
            .flat_map(|holdings| holdings.windows(2));
        let is_taken = |pair: &&[Holding]| pair[0].owner == consumer && pair[1].owner != consumer;
        pairs.filter(is_taken).count()
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
