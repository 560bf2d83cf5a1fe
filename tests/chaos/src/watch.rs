//! Who held what is pending, so that an entry that comes again is told from one that was taken over.

use std::collections::BTreeMap;

use crate::journal::Id;

/// Who held what is pending, as somebody saw who looked at Redis again and again.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// When the run began, in milliseconds since 1970, as ids are.
    pub(crate) begun: u64,
    /// When each look was asked for and answered, in milliseconds since the run began.
    pub(crate) looks: Vec<(u32, u32)>,
    /// Of each entry, by its stream's place: one holder after the other, none twice in a row.
    pub(crate) holders: BTreeMap<(usize, Id), Vec<String>>,
}

impl Watch {
    /// One look: who holds what of a stream.
    pub(crate) fn saw(&mut self, stream: usize, pending: BTreeMap<Id, String>) {
        for (id, holder) in pending {
            let holders = self.holders.entry((stream, id)).or_default();
            if holders.last() != Some(&holder) {
                holders.push(holder);
            }
        }
    }

    /// When an entry was added, in milliseconds since the run began.
    pub(crate) fn added_at(&self, id: Id) -> u32 {
        u32::try_from(id.ms.saturating_sub(self.begun)).unwrap_or(u32::MAX)
    }

    /// How often somebody else took an entry over from this consumer.
    pub(crate) fn taken_from(&self, stream: usize, id: Id, consumer: &str) -> usize {
        let holders = self.holders.get(&(stream, id));
        let pairs = holders.into_iter().flat_map(|holders| holders.windows(2));
        pairs.filter(|pair| pair[0] == consumer).count()
    }

    /// Whether between these times nobody can have held an entry for so long unseen.
    pub(crate) fn is_gapless(&self, from: u32, to: u32, longest: u32) -> bool {
        let first = self.looks.iter().take_while(|(asked, _)| *asked <= from);
        let looks = self.looks.get(first.count().saturating_sub(1)..);
        let looks = looks.unwrap_or_default();
        let covers = looks.first().is_some_and(|(asked, _)| *asked <= from)
            && looks.last().is_some_and(|(_, answered)| *answered >= to);
        let mut within = looks.windows(2).take_while(|pair| pair[0].0 <= to);
        covers && within.all(|pair| pair[1].1 - pair[0].0 < longest)
    }
}
