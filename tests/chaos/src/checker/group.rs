//! The group: every entry was acknowledged, is pending, or is in the dead-letter stream.

use std::collections::BTreeSet;

use super::{Broken, Objections};
use crate::journal::{ConsumerJournal, Content, Given, Id, Outcome};

/// No entry is between two stools.
pub(super) fn group(
    place: usize,
    stream: &Content,
    consumers: &[ConsumerJournal],
    objections: &mut Objections,
) {
    let Some(group) = &stream.group else {
        return;
    };
    let name = &stream.name;
    let (mut acknowledged, mut perhaps) = (BTreeSet::new(), BTreeSet::new());
    let of_stream = consumers.iter().filter(|c| c.stream == place);
    for given in of_stream.flat_map(|consumer| &consumer.given) {
        match given {
            Given::Acked(id, Outcome::Done(())) => acknowledged.insert(*id),
            Given::Acked(id, Outcome::Unknown | Outcome::Hung) => perhaps.insert(*id),
            _ => false,
        };
    }
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
            && !group.dead.contains(&text)
        {
            let what = format!(
                "{text}, {id}, of {name} is not pending, and nobody of its group acknowledged it"
            );
            objections.add(Broken::Lost, what);
        }
    }
}

/// Nobody is given the same twice.
pub(super) fn consumer(journal: &ConsumerJournal, objections: &mut Objections) {
    let who = &journal.name;
    let (mut delivered, mut acknowledged) = (BTreeSet::new(), BTreeSet::<Id>::new());
    for given in &journal.given {
        match given {
            // What it has not acknowledged may be given to it anew.
            Given::Opened => delivered.clear(),
            &Given::Delivered(id, text) => {
                let twice = || format!("{who} was given {text}, {id}, twice");
                if !objections.once(&mut delivered, id, twice) && acknowledged.contains(&id) {
                    let what = format!("{who} was given {text}, {id}, which it had acknowledged");
                    objections.add(Broken::Doubled, what);
                }
            }
            Given::Acked(id, Outcome::Done(())) => {
                acknowledged.insert(*id);
            }
            Given::Acked(_, Outcome::Unknown) => {}
            Given::Acked(id, Outcome::Refused(code)) => {
                objections.stopped(&format!("{who}'s acknowledgement of {id}"), code);
            }
            Given::Acked(id, Outcome::Hung) => {
                let what = format!("{who}'s acknowledgement of {id} never ended");
                objections.add(Broken::Stuck, what);
            }
            Given::Ended(code) => objections.stopped(who, code),
        }
    }
}
