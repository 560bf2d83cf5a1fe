//! Counts of deliveries and idle times of pending entries: only a delivery changes them.

use streamgate_protocol::EntryId;

use super::{KnownAdds, ViolationKind, Violations};

use crate::journal::{ConsumerJournal, History};
use crate::pending_history::Holding;
use crate::scenario::CLAIM_AFTER;

/// By how much times of samples and of ids may differ, in ms.
const TOLERANCE_MS: u64 = 100;

/// Checks what was observed of each pending entry.
pub(super) fn deliveries(history: &History, known: &KnownAdds<'_>, violations: &mut Violations) {
    for (&(stream, id), holdings) in &history.pending_history.owners {
        let entry = Entry {
            history,
            known,
            stream,
            id,
        };
        let wrong = entry.wrong_count(holdings).or_else(|| {
            let mut pairs = holdings.windows(2);
            pairs.find_map(|pair| entry.wrong_change(&pair[0], &pair[1]))
        });
        let wrong = wrong.or_else(|| holdings.iter().find_map(|h| entry.wrong_idle_time(h)));
        if let Some(why) = wrong {
            let name = &history.streams[stream].name;
            violations.add(ViolationKind::Wrong, format!("{id} of {name} {why}"));
        }
    }
}

/// An entry that was observed pending.
struct Entry<'a> {
    history: &'a History,
    known: &'a KnownAdds<'a>,
    stream: usize,
    id: EntryId,
}

impl Entry<'_> {
    /// The first delivery counts once, and each later one comes after the idle time.
    fn wrong_count(&self, holdings: &[Holding]) -> Option<String> {
        let claim_after = u64::try_from(CLAIM_AFTER.as_millis()).unwrap_or(u64::MAX);
        let added_at = self.history.pending_history.added_at(self.id);
        holdings.iter().find_map(|holding| {
            let age = u64::from(holding.since.saturating_sub(added_at)) + TOLERANCE_MS;
            let most = if self.may_be_reclaimed() {
                1 + age / claim_after
            } else {
                1
            };
            let (deliveries, owner, at) = (holding.deliveries, &holding.owner, holding.since);
            (deliveries > most).then(|| {
                format!(
                    "has {deliveries} deliveries, last to {owner}, at {at} ms, {age} ms after its \
                     add: at most {most} were made"
                )
            })
        })
    }

    /// A change is a delivery to a consumer that reclaims, or hands over an entry that is too large
    /// for the next owner, which is no delivery.
    fn wrong_change(&self, before: &Holding, after: &Holding) -> Option<String> {
        let (from, to, at) = (&before.owner, &after.owner, after.since);
        let (was, is) = (before.deliveries, after.deliveries);
        let reclaims = self.consumer(to).is_some_and(|to| to.reclaims);
        if !reclaims {
            return Some(format!(
                "was handed over from {from} with {was} deliveries to {to} with {is}, at {at} ms, \
                 which does not reclaim"
            ));
        }
        if is < was || is == was && self.fits(to) {
            return Some(format!(
                "has {is} deliveries, last to {to}, at {at} ms, and had {was} when {from} had it"
            ));
        }
        None
    }

    /// An idle time begins anew with a delivery, and with a claim of an entry that is too large.
    fn wrong_idle_time(&self, holding: &Holding) -> Option<String> {
        let (owner, since) = (&holding.owner, holding.since);
        let is_claim = self.may_be_reclaimed() && !self.fits(owner);
        (holding.idle_resets > 0 && !is_claim)
            .then(|| format!("lost its idle time while {owner} had it, from {since} ms on"))
    }

    fn consumer(&self, name: &str) -> Option<&ConsumerJournal> {
        let mut consumers = self.history.consumers.iter();
        consumers.find(|consumer| consumer.stream == self.stream && consumer.name == name)
    }

    fn fits(&self, consumer: &str) -> bool {
        let frame_bytes = self.consumer(consumer).map(|consumer| consumer.frame_bytes);
        let frame_bytes = frame_bytes.unwrap_or(u32::MAX);
        self.known.fits_id(self.stream, self.id, frame_bytes)
    }

    fn may_be_reclaimed(&self) -> bool {
        let mut consumers = self.history.consumers.iter();
        consumers.any(|consumer| consumer.stream == self.stream && consumer.reclaims)
    }
}
