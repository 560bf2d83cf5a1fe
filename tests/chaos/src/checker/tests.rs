//! Histories that are broken on purpose, one for each promise: the checker must object, once, and
//! name the entry.

mod adds;
mod groups;
mod tails;

use super::*;
use crate::journal::{
    ConsumerJournal, Content, Given, Group, Letter, Seen, TailJournal, WriterJournal,
};
use crate::stage::MAX_DELIVERIES;
use crate::watch::Watch;

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
                subscribes: false,
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
                    Given::Left(400),
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
