//! Consumers: no entry is delivered twice to a consumer, unless another one owned it meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::{KnownAdds, ViolationKind, Violations};
use streamgate_protocol::EntryId;

use crate::journal::{ConsumerJournal, ConsumerRecord, EntryTag, Outcome};
use crate::pending_history::PendingHistory;
use crate::scenario::CLAIM_AFTER;

/// An entry that was delivered to the same consumer again.
pub(crate) struct Redelivery {
    id: EntryId,
    text: EntryTag,
    /// The times of all deliveries, in ms since the start of the run.
    times: Vec<u32>,
    pub(crate) excuse: Option<Excuse>,
}

/// Why an entry may be delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// Another consumer was observed to own it in between.
    Reclaimed,
    /// Another consumer may have owned it: samples of that time are missing.
    Unobserved,
}

pub(super) fn consumer(
    journal: &ConsumerJournal,
    pending_history: &PendingHistory,
    known: &KnownAdds<'_>,
    violations: &mut Violations,
) {
    let who = &journal.name;
    let mut acknowledged = BTreeSet::<EntryId>::new();
    let mut delivered = BTreeSet::<EntryId>::new();
    let mut too_large = BTreeSet::<EntryId>::new();
    for given in &journal.records {
        match given {
            ConsumerRecord::Opened if journal.reclaims => delivered.clear(),
            ConsumerRecord::Opened => {}
            &ConsumerRecord::Delivered(id, text, _) => {
                // During a subscription, an entry on its way may arrive after the acknowledgement.
                if delivered.insert(id) && acknowledged.contains(&id) {
                    let what =
                        format!("{text}, {id}, was delivered to {who}, which had acknowledged it");
                    violations.add(ViolationKind::Duplicated, what);
                }
            }
            ConsumerRecord::TooLarge(id) => {
                violations.once(&mut too_large, *id, || {
                    format!("{who} was told twice that {id} is too large")
                });
                if known.fits_id(journal.stream, *id, journal.frame_bytes) {
                    let what = format!("{who} was told that {id} is too large, which fits");
                    violations.add(ViolationKind::Wrong, what);
                }
            }
            ConsumerRecord::Acked(id, Outcome::Done(())) => {
                acknowledged.insert(*id);
            }
            ConsumerRecord::Acked(_, Outcome::Unknown(_)) | ConsumerRecord::Left(_) => {}
            ConsumerRecord::Acked(id, Outcome::Refused(code)) => {
                violations.stopped(&format!("{who}'s acknowledgement of {id}"), code);
            }
            ConsumerRecord::Acked(id, Outcome::Hung) => {
                let what = format!("{who}'s acknowledgement of {id} never ended");
                violations.add(ViolationKind::Stuck, what);
            }
            ConsumerRecord::Ended(code, at) => {
                let who = format!("{who}, at {at} ms,");
                violations.ended(&who, code, journal.subscribes, &journal.last_error);
            }
        }
    }
    for Redelivery {
        id,
        text,
        times,
        excuse,
    } in redelivered(journal, pending_history)
    {
        if excuse.is_none() {
            let what = format!("{text}, {id}, was delivered to {who} again: at {times:?} ms");
            violations.add(ViolationKind::Duplicated, what);
        }
    }
}

/// Returns all redeliveries to a consumer: within one subscription, or in all if it does not
/// reclaim.
pub(crate) fn redelivered(
    journal: &ConsumerJournal,
    pending_history: &PendingHistory,
) -> Vec<Redelivery> {
    let mut delivered_at: BTreeMap<EntryId, Vec<u32>> = BTreeMap::new();
    let mut redeliveries = Vec::new();
    for given in &journal.records {
        match given {
            // Entries of its earlier subscriptions are reclaimed like those of any consumer.
            ConsumerRecord::Opened if journal.reclaims => delivered_at.clear(),
            &ConsumerRecord::Delivered(id, text, at) => {
                let times = delivered_at.entry(id).or_default();
                times.push(at);
                if times.len() > 1 {
                    let (times, excuse) =
                        (times.clone(), excuse(journal, pending_history, id, times));
                    redeliveries.push(Redelivery {
                        id,
                        text,
                        times,
                        excuse,
                    });
                }
            }
            _ => {}
        }
    }
    redeliveries
}

fn excuse(
    journal: &ConsumerJournal,
    pending_history: &PendingHistory,
    id: EntryId,
    times: &[u32],
) -> Option<Excuse> {
    let last = journal.reclaims.then(|| times.last()).flatten()?;
    if times.len() <= 1 + pending_history.reclaimed_from(journal.stream, id, &journal.name) {
        return Some(Excuse::Reclaimed);
    }
    let longest = u32::try_from(CLAIM_AFTER.as_millis()).unwrap_or(u32::MAX);
    let was_observed = pending_history.covers(pending_history.added_at(id), *last, longest);
    (!was_observed).then_some(Excuse::Unobserved)
}
