//! Histories that are broken on purpose, one for each promise: the checker must object, once, and
//! name the entry.

use super::*;
use crate::journal::{
    ConsumerJournal, Content, Given, Group, Letter, Seen, TailJournal, Watch, WriterJournal,
};
use crate::stage::MAX_DELIVERIES;

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
        ended: PATIENCE,
        outcome,
    }
}

/// For which every writer asks again.
const PATIENCE: u32 = 4_000;

fn unknown<T>() -> Outcome<T> {
    Outcome::Unknown("no connection in time".to_owned())
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
    let given = |n: usize, at| Given::Delivered(orders[n].0, orders[n].1, at);
    History {
        writers: vec![
            WriterJournal {
                writer: 0,
                stream: 0,
                patience: PATIENCE,
                // The answer of the second was lost, and it was done.
                adds: vec![added(0, 1), ended(1, unknown()), added(2, 4)],
            },
            WriterJournal {
                writer: 1,
                stream: 0,
                patience: PATIENCE,
                adds: vec![added(0, 2), ended(1, refused("DISCONNECTED")), added(2, 5)],
            },
            WriterJournal {
                writer: 2,
                stream: 1,
                patience: PATIENCE,
                adds: (0..9).map(|n| added(n, 10 + u64::from(n))).collect(),
            },
        ],
        tails: vec![
            TailJournal {
                name: "tail 0".to_owned(),
                stream: 0,
                subscribes: true,
                seen: tail,
            },
            TailJournal {
                name: "tail 1".to_owned(),
                stream: 1,
                subscribes: true,
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
                subscribes: true,
                takes_over: true,
                given: vec![
                    Given::Opened,
                    given(0, 100),
                    Given::Acked(id(1), Outcome::Done(())),
                    given(2, 100),
                    Given::Acked(id(3), unknown()),
                    Given::Ended("UNKNOWN_OUTCOME".to_owned(), 400),
                    Given::Opened,
                    given(3, 500),
                    Given::Acked(id(4), Outcome::Refused("DISCONNECTED".to_owned())),
                    // The next consumer took it over meanwhile.
                    given(3, 2_600),
                    Given::Acked(id(4), Outcome::Done(())),
                ],
            },
            ConsumerJournal {
                name: "consumer 1".to_owned(),
                stream: 0,
                subscribes: true,
                takes_over: false,
                given: vec![
                    Given::Opened,
                    given(1, 100),
                    given(3, 1_550),
                    Given::Acked(id(4), Outcome::Refused("DISCONNECTED".to_owned())),
                ],
            },
        ],
        watch: Watch {
            begun: 0,
            looks: (0..50).map(|look| (look * 100, look * 100 + 10)).collect(),
            holders: [(
                (0, id(4)),
                ["consumer 0", "consumer 1", "consumer 0"]
                    .map(str::to_owned)
                    .into(),
            )]
            .into(),
        },
        streams: vec![
            Content {
                name: "orders".to_owned(),
                entries: orders,
                group: Some(Group {
                    last_delivered: id(5),
                    // The last one's delivery was lost on its way.
                    pending: [(id(5), "consumer 0".to_owned())].into(),
                    takes_over: false,
                    dead: vec![letter()],
                    strangers: vec![],
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

/// Of the entry that was given up.
fn letter() -> Letter {
    Letter {
        id: id(2),
        text: text(1, 0),
        holder: "consumer 1".to_owned(),
        deliveries: MAX_DELIVERIES,
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
        adds.insert(0, ended(20, unknown()));
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

/// Of which one is not known to its writer, who cannot compare their ids.
#[test]
fn an_unknown_add_that_comes_late() {
    objects(
        Broken::Disordered,
        &["0-1", "9-0", "0-2", "4-0"],
        |history| {
            history.streams[0].entries.remove(2);
            holds(history, 9, text(0, 1));
        },
    );
}

#[test]
fn an_add_that_is_given_up_too_early() {
    objects(Broken::Untrue, &["0-1", "3999 ms", "4000"], |history| {
        history.writers[0].adds[1].ended -= 1;
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
            adds.insert(0, ended(20, unknown()));
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

fn orders(history: &mut History) -> &mut Group {
    history.streams[0].group.as_mut().unwrap()
}

#[test]
fn a_group_entry_that_is_lost() {
    objects(Broken::Lost, &["1-2", "5-0", "nobody"], |history| {
        orders(history).pending.clear();
    });
    objects(Broken::Lost, &["1-2", "5-0", "never given"], |history| {
        orders(history).pending.clear();
        orders(history).last_delivered = id(4);
    });
    objects(Broken::Lost, &["1-0", "2-0", "nobody"], |history| {
        orders(history).dead.clear();
    });
}

#[test]
fn an_acknowledgement_that_is_lost() {
    objects(Broken::Lost, &["0-0", "1-0", "is pending"], |history| {
        let pending = &mut orders(history).pending;
        pending.insert(id(1), "consumer 0".to_owned());
    });
}

#[test]
fn an_acknowledgement_that_was_refused_and_done() {
    let names = ["0-2", "4-0", "consumer 1", "DISCONNECTED"];
    objects(Broken::Untrue, &names, |history| {
        history.consumers[0].given.pop();
    });
}

#[test]
fn a_pending_entry_that_nobody_takes_over() {
    objects(Broken::Stuck, &["5-0", "consumer 0", "orders"], |history| {
        orders(history).takes_over = true;
    });
}

#[test]
fn a_pending_entry_of_which_nobody_knows() {
    let untold = |code: &str, at| {
        let mut history = sound();
        let end = &mut history.consumers[0].given[5];
        assert!(matches!(end, Given::Ended(..)));
        *end = Given::Ended(code.to_owned(), at);
        history
    };
    objects(Broken::Lost, &["5-0", "consumer 0", "told"], |history| {
        *history = untold("UNKNOWN_OUTCOME", 4);
    });
    // A subscription's end may always have lost something, a call's not.
    assert_eq!(check(&untold("DISCONNECTED", 400)), []);
    let by_calls = |history: &mut History| history.consumers[0].subscribes = false;
    objects(Broken::Lost, &["5-0", "consumer 0", "told"], |history| {
        *history = untold("DISCONNECTED", 400);
        by_calls(history);
    });
    let mut history = untold("UNKNOWN_OUTCOME", 400);
    by_calls(&mut history);
    assert_eq!(check(&history), []);
}

#[test]
fn a_dead_letter_that_is_untrue() {
    objects(Broken::Doubled, &["1-0", "2-0", "twice"], |history| {
        orders(history).dead.push(letter());
    });
    objects(Broken::Doubled, &["1-0", "2-0", "pending"], |history| {
        let pending = &mut orders(history).pending;
        pending.insert(id(2), "consumer 0".to_owned());
    });
    objects(Broken::Untrue, &["1-0", "2-0", "3 times"], |history| {
        orders(history).dead[0].deliveries = MAX_DELIVERIES - 1;
    });
    objects(Broken::Untrue, &["1-0", "consumer 7"], |history| {
        orders(history).dead[0].holder = "consumer 7".to_owned();
    });
    objects(Broken::Untrue, &["9-9", "2-0", "not there"], |history| {
        orders(history).dead[0].text = text(9, 9);
    });
    objects(Broken::Untrue, &["orders", "9-0 f=x"], |history| {
        orders(history).strangers.push("9-0 f=x".to_owned());
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
            let again = Given::Delivered(id(1), text(0, 0), 700);
            history.consumers[0].given.push(again);
        },
    );
}

/// Its own subscription does not excuse what the same client was given before.
#[test]
fn a_consumer_that_takes_nothing_over_and_comes_back() {
    objects(Broken::Doubled, &["consumer 1", "1-0", "2-0"], |history| {
        let given = &mut history.consumers[1].given;
        let again = given[1].clone();
        given.extend([Given::Opened, again]);
    });
}

/// Once for each time that somebody else had it.
#[test]
fn an_entry_that_nobody_had_meanwhile() {
    objects(Broken::Doubled, &["consumer 0", "0-2", "4-0"], |history| {
        history.watch.holders.clear();
    });
    objects(Broken::Doubled, &["consumer 0", "0-2", "4-0"], |history| {
        let again = Given::Delivered(id(4), text(0, 2), 2_700);
        history.consumers[0].given.push(again);
    });
    objects(Broken::Doubled, &["consumer 0", "0-2", "4-0"], |history| {
        let holders = history.watch.holders.values_mut().next().unwrap();
        holders.remove(0);
    });
}

/// What may have been while nobody could look is no objection, and nothing else is excused by that.
#[test]
fn an_entry_that_somebody_may_have_had_unseen() {
    let unseen = |looks: std::ops::Range<usize>| {
        let mut history = sound();
        history.watch.holders.clear();
        history.watch.looks.drain(looks);
        history
    };
    // Between the looks at 1,000 and at 1,900 ms, and between those at 1,000 and at 2,000 ms.
    assert_eq!(check(&unseen(11..19)).len(), 1);
    assert_eq!(check(&unseen(11..20)), []);
    assert_eq!(check(&unseen(0..20)), []);
    assert_eq!(check(&unseen(20..50)), []);
    // After all that.
    assert_eq!(check(&unseen(28..45)).len(), 1);
}

/// What it was given and has not acknowledged is taken over like anybody's.
#[test]
fn a_consumer_may_be_given_its_pending_entries_when_it_comes_back() {
    let mut history = sound();
    let given = &mut history.consumers[0].given;
    given.extend([
        Given::Delivered(id(5), text(1, 2), 2_700),
        Given::Ended("UNKNOWN_OUTCOME".to_owned(), 400),
        Given::Opened,
        Given::Delivered(id(5), text(1, 2), 3_800),
    ]);
    assert_eq!(check(&history), []);
}

#[test]
fn a_consumer_that_is_stuck() {
    objects(Broken::Stuck, &["consumer 1", "NOGROUP"], |history| {
        let given = &mut history.consumers[1].given;
        given.push(Given::Ended("NOGROUP".to_owned(), 400));
    });
    for (outcome, name) in [
        (Outcome::Hung, "never ended"),
        (Outcome::Refused("NOGROUP".to_owned()), "NOGROUP"),
    ] {
        objects(Broken::Stuck, &["consumer 1", "4-0", name], |history| {
            *history.consumers[1].given.last_mut().unwrap() = Given::Acked(id(4), outcome);
        });
    }
}
