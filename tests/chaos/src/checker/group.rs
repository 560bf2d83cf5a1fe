//! Groups: every entry was acknowledged, is pending, or is in the dead-letter stream.

use std::collections::{BTreeMap, BTreeSet};

use streamgate_protocol::Retry;
use streamgate_protocol::error::retry_of;

use super::{Broken, Objections};
use crate::journal::{ConsumerJournal, Content, Given, Group, Id, Outcome, Text};
use crate::stage::MAX_DELIVERIES;
use crate::watch::Watch;

/// How long after it was added it may be told that an entry is lost, at most, in milliseconds: longer
/// than a call is asked again.
const MAX_ON_ITS_WAY_MS: u32 = 60_000;

/// How long after a consumer has left it may still be given something, in milliseconds: its server hears
/// of that late when something stalls.
const MAX_LATE_MS: u32 = 10_000;

/// No entry is between two stools.
pub(super) fn group(
    place: usize,
    stream: &Content,
    consumers: &[ConsumerJournal],
    watch: &Watch,
    objections: &mut Objections,
) {
    let Some(group) = &stream.group else {
        return;
    };
    let name = &stream.name;
    let (mut acknowledged, mut perhaps) = (BTreeSet::new(), BTreeSet::new());
    let mut refused = BTreeMap::new();
    let of_stream = consumers.iter().filter(|c| c.stream == place);
    for consumer in of_stream.clone() {
        for given in &consumer.given {
            let Given::Acked(id, outcome) = given else {
                continue;
            };
            match outcome {
                Outcome::Done(()) => {
                    acknowledged.insert(*id);
                }
                Outcome::Unknown(_) | Outcome::Hung => {
                    perhaps.insert(*id);
                }
                Outcome::Refused(code) => {
                    refused.insert(*id, (&consumer.name, code));
                }
            }
        }
    }
    let dead: BTreeSet<Id> = group.dead.iter().map(|letter| letter.id).collect();
    for &(id, text) in &stream.entries {
        let is_pending = group.pending.contains_key(&id);
        if id > group.last_delivered {
            let what = format!("the group of {name} was never given {text}, {id}");
            objections.add(Broken::Lost, what);
        } else if is_pending && acknowledged.contains(&id) {
            let what = format!("{text}, {id}, of {name} was acknowledged, and is pending");
            objections.add(Broken::Lost, what);
        } else if !is_pending
            && !acknowledged.contains(&id)
            && !perhaps.contains(&id)
            && !dead.contains(&id)
        {
            let what = format!("{text}, {id}, of {name} is not pending, and");
            match refused.get(&id) {
                Some((who, code)) => {
                    let what = format!("{what} {who}, who acknowledged it, was told {code}");
                    objections.add(Broken::Untrue, what);
                }
                None => {
                    let what = format!("{what} nobody of its group acknowledged it");
                    objections.add(Broken::Lost, what);
                }
            }
        }
    }
    for (id, holder) in group.pending.iter().filter(|_| !group.takes_over) {
        let holding = of_stream.clone().find(|consumer| consumer.name == *holder);
        if !holding.is_some_and(|consumer| knows(consumer, *id, watch.added_at(*id))) {
            let what = format!(
                "{id} of {name} is pending for {holder}, who was neither given it nor told of a loss"
            );
            objections.add(Broken::Lost, what);
        }
    }
    if group.takes_over {
        for (id, holder) in &group.pending {
            let what = format!("{id} of {name} is still pending for {holder}: nobody took it over");
            objections.add(Broken::Stuck, what);
        }
    }
    let names: BTreeSet<&str> = of_stream.map(|consumer| &*consumer.name).collect();
    letters(stream, group, &names, objections);
}

/// Whether a consumer was given an entry, left when it could have been, or was told that something
/// like that is not known.
fn knows(consumer: &ConsumerJournal, id: Id, added_at: u32) -> bool {
    let in_time = |at: u32| at + MAX_LATE_MS >= added_at && at <= added_at + MAX_ON_ITS_WAY_MS;
    consumer.given.iter().any(|given| match given {
        Given::Delivered(given, ..) => *given == id,
        Given::Left(at) => in_time(*at),
        Given::Ended(code, at) => in_time(*at) && retry_of(code) == Retry::Unknown,
        _ => false,
    })
}

/// What was given up was delivered too often, is given up once, and is not pending any more.
fn letters(
    stream: &Content,
    group: &Group,
    consumers: &BTreeSet<&str>,
    objections: &mut Objections,
) {
    let name = &stream.name;
    for stranger in &group.strangers {
        let what = format!("the dead letters of {name} hold what is none: {stranger}");
        objections.add(Broken::Untrue, what);
    }
    let entries: BTreeMap<Id, Text> = stream.entries.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for letter in &group.dead {
        let who = format!(
            "the dead letter of {}, {}, of {name}",
            letter.text, letter.id
        );
        objections.once(&mut seen, letter.id, || format!("{who} is there twice"));
        if entries.get(&letter.id) != Some(&letter.text) {
            let what = format!("{who} is of an entry that is not there");
            objections.add(Broken::Untrue, what);
        }
        if letter.deliveries < MAX_DELIVERIES || !consumers.contains(&*letter.holder) {
            let (times, holder) = (letter.deliveries, &letter.holder);
            let what = format!("{who} says: delivered {times} times, last to {holder}");
            objections.add(Broken::Untrue, what);
        }
        if let Some(holder) = group.pending.get(&letter.id) {
            let what = format!("{who} is there, and pending for {holder}");
            objections.add(Broken::Doubled, what);
        }
    }
}
