//! Histories that are broken on purpose, one for each promise: the checker must object, once, and
//! name the entry.

use super::*;
use crate::journal::{ConsumerJournal, Content, Given, Group, Seen, TailJournal, WriterJournal};

fn id(ms: u64) -> Id {
    Id { ms, seq: 0 }
}

fn text(writer: u32, number: u32) -> Text {
    Text { writer, number }
}

fn added(number: u32, ms: u64) -> Add {
    ended(number, Outcome::Done(id(ms)))
}

fn ended(number: u32, outcome: Outcome<Id>) -> Add {
    Add {
        number,
        began: 0,
        outcome,
    }
}

fn refused(code: &str) -> Outcome<Id> {
    Outcome::Refused(code.to_owned())
}

/// Two writers of `orders`, one of `recent`, which is trimmed; a tail of each; a group of two.
fn sound() -> History {
    let orders = vec![
        (id(1), text(0, 0)),
        (id(2), text(1, 0)),
        (id(3), text(0, 1)),
        (id(4), text(0, 2)),
        (id(5), text(1, 2)),
    ];
    let saw = |(id, text): &(Id, Text)| Seen::Entry(*id, *text);
    let mut tail = vec![Seen::Opened(id(0))];
    tail.extend(orders[..2].iter().map(saw));
    tail.extend([Seen::Ended("DISCONNECTED".to_owned()), Seen::Opened(id(2))]);
    tail.extend(orders[2..].iter().map(saw));
    let given = |n: usize| Given::Delivered(orders[n].0, orders[n].1);
    History {
        writers: vec![
            WriterJournal {
                writer: 0,
                stream: 0,
                // The answer of the second was lost, and it was done.
                adds: vec![added(0, 1), ended(1, Outcome::Unknown), added(2, 4)],
            },
            WriterJournal {
                writer: 1,
                stream: 0,
                adds: vec![added(0, 2), ended(1, refused("DISCONNECTED")), added(2, 5)],
            },
            WriterJournal {
                writer: 2,
                stream: 1,
                adds: (0..9).map(|n| added(n, 10 + u64::from(n))).collect(),
            },
        ],
        tails: vec![
            TailJournal {
                name: "tail 0".to_owned(),
                stream: 0,
                seen: tail,
            },
            TailJournal {
                name: "tail 1".to_owned(),
                stream: 1,
                seen: vec![
                    Seen::Opened(id(0)),
                    Seen::Entry(id(10), text(2, 0)),
                    Seen::Gap {
                        after: id(10),
                        first: Some(id(16)),
                        position: id(15),
                        recreated: false,
                    },
                    Seen::Entry(id(16), text(2, 6)),
                    Seen::Entry(id(17), text(2, 7)),
                    Seen::Entry(id(18), text(2, 8)),
                ],
            },
        ],
        consumers: vec![
            ConsumerJournal {
                name: "consumer 0".to_owned(),
                stream: 0,
                given: vec![
                    Given::Opened,
                    given(0),
                    Given::Acked(id(1), Outcome::Done(())),
                    given(2),
                    Given::Acked(id(3), Outcome::Unknown),
                    Given::Ended("UNKNOWN_OUTCOME".to_owned()),
                    Given::Opened,
                    given(3),
                    Given::Acked(id(4), Outcome::Refused("DISCONNECTED".to_owned())),
                ],
            },
            ConsumerJournal {
                name: "consumer 1".to_owned(),
                stream: 0,
                given: vec![Given::Opened, given(1)],
            },
        ],
        streams: vec![
            Content {
                name: "orders".to_owned(),
                entries: orders,
                group: Some(Group {
                    last_delivered: id(5),
                    // The last one's delivery was lost on its way.
                    pending: [(id(4), "consumer 0"), (id(5), "consumer 0")]
                        .map(|(id, name)| (id, name.to_owned()))
                        .into(),
                    dead: [text(1, 0)].into(),
                }),
                ..Content::default()
            },
            Content {
                name: "recent".to_owned(),
                is_trimmed: true,
                entries: vec![
                    (id(16), text(2, 6)),
                    (id(17), text(2, 7)),
                    (id(18), text(2, 8)),
                ],
                ..Content::default()
            },
        ],
    }
}

/// The one objection to a history that is sound but for this.
fn objection(break_it: impl FnOnce(&mut History)) -> (Broken, String) {
    let mut history = sound();
    break_it(&mut history);
    let mut objections = check(&history);
    assert_eq!(objections.len(), 1, "{objections:#?}");
    let Objection { broken, what } = objections.remove(0);
    (broken, what)
}

/// Objects in this way, and names all of this.
fn objects(broken: Broken, names: &[&str], break_it: impl FnOnce(&mut History)) {
    let (how, what) = objection(break_it);
    assert_eq!(how, broken, "{what}");
    for name in names {
        assert!(what.contains(name), "{name:?} is not in {what:?}");
    }
}

#[test]
fn a_sound_history_is_accepted() {
    assert_eq!(check(&sound()), []);
}

/// Seen by the tail, and gone: one objection, not two.
#[test]
fn an_acknowledged_add_that_is_missing() {
    objects(Broken::Lost, &["0-0", "1-0", "orders"], |history| {
        history.streams[0].entries.remove(0);
    });
}

#[test]
fn an_acknowledged_add_with_another_id_than_was_told() {
    let mut history = sound();
    history.writers[1].adds[2] = added(2, 6);
    let objections = check(&history);
    assert!(objections.iter().any(|objection| {
        objection.broken == Broken::Lost
            && objection.what.contains("orders does not hold 1-2")
            && objection.what.contains("6-0")
    }));
}

/// An acknowledged one, and one whose answer was lost.
#[test]
fn an_add_that_is_there_twice() {
    for number in [0, 1] {
        let twice = text(0, number);
        objects(Broken::Doubled, &[&twice.to_string(), "9-0"], |history| {
            holds(history, 9, twice);
        });
    }
}

/// Puts an entry at the end of `orders`, pending in its group. Its tail would have its own to say
/// about that, and is left out.
fn holds(history: &mut History, ms: u64, text: Text) {
    let stream = &mut history.streams[0];
    stream.entries.push((id(ms), text));
    let group = stream.group.as_mut().unwrap();
    group.last_delivered = id(ms);
    group.pending.insert(id(ms), "consumer 0".to_owned());
    history.tails.remove(0);
}

#[test]
fn an_add_that_was_refused_and_is_there() {
    objects(Broken::Untrue, &["1-1", "9-0", "DISCONNECTED"], |history| {
        holds(history, 9, text(1, 1));
    });
}

#[test]
fn an_entry_that_nobody_added() {
    objects(Broken::Untrue, &["7-7", "9-0"], |history| {
        holds(history, 9, text(7, 7));
    });
    objects(Broken::Untrue, &["orders", "9-0 f=x"], |history| {
        history.streams[0].strangers.push("9-0 f=x".to_owned());
    });
    objects(Broken::Untrue, &["2-20", "another stream"], |history| {
        let mut adds = std::mem::take(&mut history.writers[2].adds);
        adds.insert(0, ended(20, Outcome::Unknown));
        history.writers[2].adds = adds;
        holds(history, 9, text(2, 20));
    });
}

#[test]
fn adds_that_are_not_in_their_writers_order() {
    objects(Broken::Disordered, &["2-4", "2-3", "recent"], |history| {
        let adds = &mut history.writers[2].adds;
        (adds[3].outcome, adds[4].outcome) = (adds[4].outcome.clone(), adds[3].outcome.clone());
    });
}

#[test]
fn a_writer_that_is_stuck() {
    objects(Broken::Stuck, &["writer 1", "orders"], |history| {
        history.writers[1]
            .adds
            .push(ended(3, refused("DISCONNECTED")));
    });
    objects(Broken::Stuck, &["1-1"], |history| {
        history.writers[1].adds[1].outcome = Outcome::Hung;
    });
    objects(Broken::Stuck, &["1-1", "CLOSED"], |history| {
        history.writers[1].adds[1].outcome = refused("CLOSED");
    });
}

#[test]
fn a_tail_that_misses_an_entry() {
    objects(Broken::Lost, &["tail 0", "0-1", "3-0"], |history| {
        history.tails[0]
            .seen
            .retain(|seen| *seen != Seen::Entry(id(3), text(0, 1)));
    });
    // A gap excuses what is within it and nothing else.
    objects(Broken::Lost, &["tail 1", "2-6", "16-0"], |history| {
        history.tails[1].seen.remove(3);
    });
    objects(Broken::Lost, &["tail 1", "2-1", "11-0"], |history| {
        let Seen::Gap { after, .. } = &mut history.tails[1].seen[2] else {
            panic!("no gap there")
        };
        *after = id(11);
    });
}

#[test]
fn a_tail_that_sees_an_entry_twice() {
    objects(Broken::Doubled, &["tail 0", "1-0", "2-0"], |history| {
        let seen = &mut history.tails[0].seen;
        seen.insert(5, Seen::Entry(id(2), text(1, 0)));
    });
    objects(
        Broken::Doubled,
        &["tail 1", "2-20", "12-0", "13-0"],
        |history| {
            // Twice in a stream that has trimmed both: only a tail can have seen it.
            let adds = &mut history.writers[2].adds;
            adds.drain(2..4);
            adds.insert(0, ended(20, Outcome::Unknown));
            let seen = &mut history.tails[1].seen;
            seen.splice(
                2..2,
                [
                    Seen::Entry(id(12), text(2, 20)),
                    Seen::Entry(id(13), text(2, 20)),
                ],
            );
        },
    );
}

#[test]
fn a_tail_that_sees_entries_out_of_order() {
    objects(Broken::Disordered, &["tail 0", "0-2", "4-0"], |history| {
        let seen = &mut history.tails[0].seen;
        let last = seen.len() - 1;
        seen.swap(last - 1, last);
    });
}

#[test]
fn a_tail_that_sees_what_is_not_there() {
    objects(Broken::Untrue, &["tail 0", "0-9", "9-0"], |history| {
        history.tails[0].seen.push(Seen::Entry(id(9), text(0, 9)));
    });
}

#[test]
fn a_tail_that_is_told_of_a_gap_where_there_is_none() {
    let gap = |recreated| Seen::Gap {
        after: id(5),
        first: None,
        position: id(5),
        recreated,
    };
    objects(Broken::Untrue, &["tail 0", "5-0"], |history| {
        history.tails[0].seen.push(gap(false));
    });
    objects(Broken::Untrue, &["tail 1", "18-0"], |history| {
        history.tails[1].seen.push(gap(true));
    });
}

/// Who goes on from what was the end must be given all behind that, and nothing before it.
#[test]
fn a_tail_that_skips() {
    let mut history = sound();
    // Instead of the entry at 3-0.
    history.tails[0].seen[5] = Seen::Skipped(id(3));
    assert_eq!(check(&history), []);
    history.tails[0].seen[5] = Seen::Skipped(id(2));
    let objections = check(&history);
    assert_eq!(objections.len(), 1, "{objections:?}");
    assert_eq!(objections[0].broken, Broken::Lost);
    assert!(objections[0].what.contains("0-1, 3-0"), "{objections:?}");
    history.tails[0].seen[5] = Seen::Skipped(id(4));
    let objections = check(&history);
    assert_eq!(objections.len(), 1, "{objections:?}");
    assert_eq!(objections[0].broken, Broken::Disordered);
    assert!(objections[0].what.contains("0-2, 4-0"), "{objections:?}");
}

#[test]
fn a_tail_that_goes_back_or_is_stopped() {
    objects(Broken::Untrue, &["tail 0", "1-0", "2-0"], |history| {
        history.tails[0].seen[4] = Seen::Opened(id(1));
    });
    objects(Broken::Stuck, &["tail 0", "WRONGTYPE"], |history| {
        history.tails[0].seen[3] = Seen::Ended("WRONGTYPE".to_owned());
    });
}

#[test]
fn a_group_entry_that_is_lost() {
    objects(Broken::Lost, &["0-2", "4-0", "nobody"], |history| {
        let group = history.streams[0].group.as_mut().unwrap();
        group.pending.remove(&id(4));
    });
    objects(Broken::Lost, &["1-2", "5-0", "never given"], |history| {
        let group = history.streams[0].group.as_mut().unwrap();
        group.pending.remove(&id(5));
        group.last_delivered = id(4);
    });
    objects(Broken::Lost, &["1-0", "2-0", "nobody"], |history| {
        history.streams[0].group.as_mut().unwrap().dead.clear();
    });
}

#[test]
fn an_acknowledgement_that_is_lost() {
    objects(Broken::Lost, &["0-0", "1-0", "is pending"], |history| {
        let pending = &mut history.streams[0].group.as_mut().unwrap().pending;
        pending.insert(id(1), "consumer 0".to_owned());
    });
}

#[test]
fn a_consumer_that_is_given_an_entry_twice() {
    objects(Broken::Doubled, &["consumer 1", "1-0", "2-0"], |history| {
        let given = &mut history.consumers[1].given;
        given.push(given[1].clone());
    });
    objects(
        Broken::Doubled,
        &["consumer 0", "0-0", "acknowledged"],
        |history| {
            let again = Given::Delivered(id(1), text(0, 0));
            history.consumers[0].given.push(again);
        },
    );
}

/// What it was given and has not acknowledged is still its own.
#[test]
fn a_consumer_may_be_given_its_pending_entries_when_it_comes_back() {
    let mut history = sound();
    let given = &mut history.consumers[0].given;
    given.push(Given::Ended("UNKNOWN_OUTCOME".to_owned()));
    given.push(Given::Opened);
    given.push(Given::Delivered(id(4), text(0, 2)));
    assert_eq!(check(&history), []);
}

#[test]
fn a_consumer_that_is_stuck() {
    objects(Broken::Stuck, &["consumer 1", "NOGROUP"], |history| {
        let given = &mut history.consumers[1].given;
        given.push(Given::Ended("NOGROUP".to_owned()));
    });
    objects(Broken::Stuck, &["consumer 0", "4-0"], |history| {
        *history.consumers[0].given.last_mut().unwrap() = Given::Acked(id(4), Outcome::Hung);
    });
    objects(
        Broken::Stuck,
        &["consumer 0", "4-0", "NOGROUP"],
        |history| {
            let refused = Outcome::Refused("NOGROUP".to_owned());
            *history.consumers[0].given.last_mut().unwrap() = Given::Acked(id(4), refused);
        },
    );
}
