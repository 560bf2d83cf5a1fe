//! Groups: every entry was acknowledged, is pending, or is in the dead-letter stream.

use std::collections::{BTreeMap, BTreeSet};

use streamgate_protocol::Retry;
use streamgate_protocol::error::retry_of;

use super::{KnownAdds, ViolationKind, Violations};
use streamgate_protocol::EntryId;

use crate::journal::{ConsumerJournal, ConsumerRecord, EntryTag, Group, Outcome, StreamContents};
use crate::pending_history::PendingHistory;
use crate::scenario::MAX_DELIVERIES;

/// Longest time in ms from an add to the error that tells of its lost delivery: longer than a call
/// is retried.
const MAX_ON_ITS_WAY_MS: u32 = 60_000;

/// Longest time in ms in which entries are still delivered to a consumer that has left: a stall
/// delays the news to its server.
const MAX_LATE_MS: u32 = 10_000;

/// No entry is lost between its delivery and its acknowledgement.
pub(super) fn group(
    index: usize,
    stream: &StreamContents,
    consumers: &[ConsumerJournal],
    pending_history: &PendingHistory,
    known: &KnownAdds<'_>,
    violations: &mut Violations,
) {
    let Some(group) = &stream.group else {
        return;
    };
    let name = &stream.name;
    let (mut acknowledged, mut maybe_acknowledged) = (BTreeSet::new(), BTreeSet::new());
    let mut refused = BTreeMap::new();
    let of_stream = consumers.iter().filter(|c| c.stream == index);
    for consumer in of_stream.clone() {
        for given in &consumer.records {
            let ConsumerRecord::Acked(id, outcome) = given else {
                continue;
            };
            match outcome {
                Outcome::Done(()) => {
                    acknowledged.insert(*id);
                }
                Outcome::Unknown(_) | Outcome::Hung => {
                    maybe_acknowledged.insert(*id);
                }
                Outcome::Refused(code) => {
                    refused.insert(*id, (&consumer.name, code));
                }
            }
        }
    }
    let dead: BTreeSet<EntryId> = group.dead.iter().map(|letter| letter.id).collect();
    for &(id, text) in &stream.entries {
        let is_pending = group.pending.contains_key(&id);
        if id > group.last_delivered {
            let what = format!("{text}, {id}, was never delivered to the group of {name}");
            violations.add(ViolationKind::Lost, what);
        } else if is_pending && acknowledged.contains(&id) {
            let what = format!("{text}, {id}, of {name} was acknowledged, but is pending");
            violations.add(ViolationKind::Lost, what);
        } else if !is_pending
            && !acknowledged.contains(&id)
            && !maybe_acknowledged.contains(&id)
            && !dead.contains(&id)
        {
            let what = format!("{text}, {id}, of {name} is not pending, and");
            match refused.get(&id) {
                Some((who, code)) => {
                    let what = format!("{what} its acknowledgement by {who} failed with {code}");
                    violations.add(ViolationKind::Wrong, what);
                }
                None => {
                    let what = format!("{what} no consumer of the group acknowledged it");
                    violations.add(ViolationKind::Lost, what);
                }
            }
        }
    }
    for (id, state) in group.pending.iter().filter(|_| !group.reclaims) {
        let holder = &state.owner;
        let holding = of_stream.clone().find(|consumer| consumer.name == *holder);
        let is_explained = holding.is_some_and(|consumer| {
            let never_reported =
                consumer.subscribes && !known.fits_id(index, *id, consumer.frame_bytes);
            never_reported || explains(consumer, *id, pending_history.added_at(*id))
        });
        if !is_explained {
            let tag = stream.entries.iter().find(|(of, _)| of == id);
            let tag = tag.map_or_else(|| "trimmed".to_owned(), |(_, tag)| tag.to_string());
            let at = pending_history.added_at(*id);
            let idle = state.idle;
            let what = format!(
                "{tag}, {id}, of {name}, added at {at} ms, is pending for {holder}, idle for \
                 {idle} ms, which neither got it nor an error for it"
            );
            violations.add(ViolationKind::Lost, what);
        }
    }
    if group.reclaims {
        let most = of_stream.clone().map(|consumer| consumer.frame_bytes).max();
        let fits_any = |id| known.fits_id(index, id, most.unwrap_or_default());
        for (id, state) in group.pending.iter().filter(|(id, _)| fits_any(**id)) {
            let holder = &state.owner;
            let what =
                format!("{id} of {name} is still pending for {holder}: no consumer reclaimed it");
            violations.add(ViolationKind::Stuck, what);
        }
    }
    let names: BTreeSet<&str> = of_stream.map(|consumer| &*consumer.name).collect();
    dead_letters(stream, group, &names, violations);
}

/// Whether a consumer explains a pending entry: it got the entry, left at that time, or got an
/// error with an unknown outcome at that time.
fn explains(consumer: &ConsumerJournal, id: EntryId, added_at: u32) -> bool {
    let in_time = |at: u32| at + MAX_LATE_MS >= added_at && at <= added_at + MAX_ON_ITS_WAY_MS;
    consumer.records.iter().any(|given| match given {
        ConsumerRecord::Delivered(given, ..) | ConsumerRecord::TooLarge(given) => *given == id,
        ConsumerRecord::Left(at) => in_time(*at),
        ConsumerRecord::Ended(code, at) => in_time(*at) && retry_of(code) == Retry::Unknown,
        _ => false,
    })
}

/// Every dead letter was delivered too often, is there once, and is not pending.
fn dead_letters(
    stream: &StreamContents,
    group: &Group,
    consumers: &BTreeSet<&str>,
    violations: &mut Violations,
) {
    let name = &stream.name;
    for unexpected in &group.unexpected {
        let what = format!("the dead letters of {name} hold another entry: {unexpected}");
        violations.add(ViolationKind::Wrong, what);
    }
    let entries: BTreeMap<EntryId, EntryTag> = stream.entries.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for letter in &group.dead {
        let who = format!(
            "the dead letter of {}, {}, of {name}",
            letter.text, letter.id
        );
        violations.once(&mut seen, letter.id, || format!("{who} is there twice"));
        if entries.get(&letter.id) != Some(&letter.text) {
            let what = format!("{who} is of an entry that is not in the stream");
            violations.add(ViolationKind::Wrong, what);
        }
        if letter.deliveries != MAX_DELIVERIES || !consumers.contains(&*letter.holder) {
            let (times, holder) = (letter.deliveries, &letter.holder);
            let what =
                format!("{who} has the wrong fields: delivered {times} times, last to {holder}");
            violations.add(ViolationKind::Wrong, what);
        }
        if let Some(state) = group.pending.get(&letter.id) {
            let holder = &state.owner;
            let what = format!("{who} is still pending for {holder}");
            violations.add(ViolationKind::Duplicated, what);
        }
    }
}
