//! Consumers: nobody is given the same twice, unless somebody else had it meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::{Broken, Objections};
use crate::journal::{ConsumerJournal, Given, Id, Outcome, Text};
use crate::stage::CLAIM_AFTER;
use crate::watch::Watch;

/// An entry that a consumer was given, and had been given before.
pub(crate) struct Again {
    id: Id,
    text: Text,
    /// All times that it was given it, in milliseconds since the run began.
    times: Vec<u32>,
    pub(crate) excuse: Option<Excuse>,
}

/// Why it may be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// Somebody else was seen to have it in between.
    TakenOver,
    /// Somebody else may have had it: nobody could look at that time.
    Unseen,
}

pub(super) fn consumer(journal: &ConsumerJournal, watch: &Watch, objections: &mut Objections) {
    let who = &journal.name;
    let mut acknowledged = BTreeSet::<Id>::new();
    let mut delivered = BTreeSet::<Id>::new();
    for given in &journal.given {
        match given {
            Given::Opened if journal.takes_over => delivered.clear(),
            Given::Opened => {}
            &Given::Delivered(id, text, _) => {
                // While it lasts, what was on its way may come behind the acknowledgement.
                if delivered.insert(id) && acknowledged.contains(&id) {
                    let what = format!("{who} was given {text}, {id}, which it had acknowledged");
                    objections.add(Broken::Doubled, what);
                }
            }
            Given::Acked(id, Outcome::Done(())) => {
                acknowledged.insert(*id);
            }
            Given::Acked(_, Outcome::Unknown(_)) | Given::Left(_) => {}
            Given::Acked(id, Outcome::Refused(code)) => {
                objections.stopped(&format!("{who}'s acknowledgement of {id}"), code);
            }
            Given::Acked(id, Outcome::Hung) => {
                let what = format!("{who}'s acknowledgement of {id} never ended");
                objections.add(Broken::Stuck, what);
            }
            Given::Ended(code, _) => objections.ended(who, code, journal.subscribes),
        }
    }
    for Again {
        id,
        text,
        times,
        excuse,
    } in again(journal, watch)
    {
        if excuse.is_none() {
            let what = format!("{who} was given {text}, {id}, again: at {times:?} ms");
            objections.add(Broken::Doubled, what);
        }
    }
}

/// Everything that a consumer was given again while its subscription lasted; or, if it takes
/// nothing over, at all.
pub(crate) fn again(journal: &ConsumerJournal, watch: &Watch) -> Vec<Again> {
    let mut given_at: BTreeMap<Id, Vec<u32>> = BTreeMap::new();
    let mut again = Vec::new();
    for given in &journal.given {
        match given {
            // What it was given before is taken over like anybody's.
            Given::Opened if journal.takes_over => given_at.clear(),
            &Given::Delivered(id, text, at) => {
                let times = given_at.entry(id).or_default();
                times.push(at);
                if times.len() > 1 {
                    let (times, excuse) = (times.clone(), excuse(journal, watch, id, times));
                    again.push(Again {
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
    again
}

fn excuse(journal: &ConsumerJournal, watch: &Watch, id: Id, times: &[u32]) -> Option<Excuse> {
    let last = journal.takes_over.then(|| times.last()).flatten()?;
    if times.len() <= 1 + watch.taken_from(journal.stream, id, &journal.name) {
        return Some(Excuse::TakenOver);
    }
    let longest = u32::try_from(CLAIM_AFTER.as_millis()).unwrap_or(u32::MAX);
    let was_seen = watch.is_gapless(watch.added_at(id), *last, longest);
    (!was_seen).then_some(Excuse::Unseen)
}
