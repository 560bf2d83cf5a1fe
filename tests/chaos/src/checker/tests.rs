//! Histories with a violation of each guarantee: the checker must report it, once, and name the
//! entry.

mod adds;
mod deliveries;
mod groups;
mod tails;

use super::*;
use crate::journal::{
    ConsumerJournal, ConsumerRecord, DeadLetter, Group, StreamContents, TailJournal, TailRecord,
    WriterJournal,
};
use crate::pending_history::{Holding, PendingHistory, PendingState};
use crate::scenario::{FRAME_BYTES, LARGE_PADDING, MAX_DELIVERIES, SMALL_FRAME_BYTES};

fn id(ms: u64) -> EntryId {
    EntryId { ms, seq: 0 }
}

fn text(writer: u32, number: u32) -> EntryTag {
    EntryTag { writer, number }
}

fn added(number: u32, ms: u64) -> Add {
    ended(number, Outcome::Done(id(ms)))
}

fn ended(number: u32, outcome: Outcome<EntryId>) -> Add {
    Add {
        number,
        started: 0,
        ended: RETRY_TIMEOUT,
        outcome,
    }
}

/// How long every writer retries.
const RETRY_TIMEOUT: u32 = 4_000;

fn unknown<T>() -> Outcome<T> {
    Outcome::Unknown("no connection in time".to_owned())
}

fn refused(code: &str) -> Outcome<EntryId> {
    Outcome::Refused(code.to_owned())
}

/// Returns a history without violations: two writers of `orders`, one of `recent`, which is
/// trimmed; a tail of each; a group of two consumers.
fn sound() -> History {
    let orders = vec![
        (id(1), text(0, 0)),
        (id(2), text(1, 0)),
        (id(3), text(0, 1)),
        (id(4), text(0, 2)),
        (id(5), text(1, 2)),
    ];
    let saw = |(id, text): &(EntryId, EntryTag)| TailRecord::Entry(*id, *text);
    let mut tail = vec![TailRecord::Opened(id(0))];
    tail.extend(orders[..2].iter().map(saw));
    tail.extend([
        TailRecord::Ended("DISCONNECTED".to_owned()),
        TailRecord::Opened(id(2)),
    ]);
    tail.extend(orders[2..].iter().map(saw));
    let given = |n: usize, at| ConsumerRecord::Delivered(orders[n].0, orders[n].1, at);
    History {
        may_evict: false,
        writers: vec![
            WriterJournal {
                writer: 0,
                stream: 0,
                retry_timeout: RETRY_TIMEOUT,
                foreign_padding: None,
                // The second add was stored, and its reply was lost.
                adds: vec![added(0, 1), ended(1, unknown()), added(2, 4)],
            },
            WriterJournal {
                writer: 1,
                stream: 0,
                retry_timeout: RETRY_TIMEOUT,
                foreign_padding: None,
                adds: vec![added(0, 2), ended(1, refused("DISCONNECTED")), added(2, 5)],
            },
            WriterJournal {
                writer: 2,
                stream: 1,
                retry_timeout: RETRY_TIMEOUT,
                foreign_padding: None,
                adds: (0..9).map(|n| added(n, 10 + u64::from(n))).collect(),
            },
        ],
        tails: vec![
            TailJournal {
                name: "tail 0".to_owned(),
                stream: 0,
                subscribes: false,
                frame_bytes: FRAME_BYTES,
                last_error: String::new(),
                records: tail,
            },
            TailJournal {
                name: "tail 1".to_owned(),
                stream: 1,
                subscribes: true,
                frame_bytes: FRAME_BYTES,
                last_error: String::new(),
                records: vec![
                    TailRecord::Opened(id(0)),
                    TailRecord::Entry(id(10), text(2, 0)),
                    TailRecord::Gap {
                        after: id(10),
                        first: Some(id(16)),
                        position: id(15),
                        recreated: false,
                    },
                    TailRecord::Entry(id(16), text(2, 6)),
                    TailRecord::Entry(id(17), text(2, 7)),
                    TailRecord::Entry(id(18), text(2, 8)),
                ],
            },
        ],
        consumers: vec![
            ConsumerJournal {
                name: "consumer 0".to_owned(),
                stream: 0,
                subscribes: true,
                reclaims: true,
                frame_bytes: FRAME_BYTES,
                last_error: String::new(),
                records: vec![
                    ConsumerRecord::Opened,
                    given(0, 100),
                    ConsumerRecord::Acked(id(1), Outcome::Done(())),
                    given(2, 100),
                    ConsumerRecord::Acked(id(3), unknown()),
                    ConsumerRecord::Left(400),
                    ConsumerRecord::Opened,
                    given(3, 500),
                    ConsumerRecord::Acked(id(4), Outcome::Refused("DISCONNECTED".to_owned())),
                    // The next consumer reclaimed it meanwhile.
                    given(3, 2_600),
                    ConsumerRecord::Acked(id(4), Outcome::Done(())),
                ],
            },
            ConsumerJournal {
                name: "consumer 1".to_owned(),
                stream: 0,
                subscribes: true,
                reclaims: true,
                frame_bytes: FRAME_BYTES,
                last_error: String::new(),
                records: vec![
                    ConsumerRecord::Opened,
                    given(1, 100),
                    given(3, 1_550),
                    ConsumerRecord::Acked(id(4), Outcome::Refused("DISCONNECTED".to_owned())),
                ],
            },
        ],
        pending_history: PendingHistory {
            started: 0,
            samples: (0..50)
                .map(|sample| (sample * 100, sample * 100 + 10))
                .collect(),
            owners: [(
                (0, id(4)),
                vec![
                    holding("consumer 0", 1, 480),
                    holding("consumer 1", 2, 1_500),
                    holding("consumer 0", 3, 2_550),
                ],
            )]
            .into(),
        },
        streams: vec![
            StreamContents {
                name: "orders".to_owned(),
                entries: orders,
                group: Some(Group {
                    last_delivered: id(5),
                    // The delivery of the last entry was lost on its way.
                    pending: [(id(5), pending_for("consumer 0"))].into(),
                    reclaims: false,
                    dead: vec![dead_letter()],
                    unexpected: vec![],
                }),
                ..StreamContents::default()
            },
            StreamContents {
                name: "recent".to_owned(),
                is_trimmed: true,
                entries: vec![
                    (id(16), text(2, 6)),
                    (id(17), text(2, 7)),
                    (id(18), text(2, 8)),
                ],
                ..StreamContents::default()
            },
        ],
    }
}

/// The dead letter of the history.
fn dead_letter() -> DeadLetter {
    DeadLetter {
        id: id(2),
        text: text(1, 0),
        holder: "consumer 1".to_owned(),
        deliveries: MAX_DELIVERIES,
    }
}

fn pending_for(owner: &str) -> PendingState {
    PendingState {
        owner: owner.to_owned(),
        idle: 0,
        deliveries: 1,
    }
}

fn holding(owner: &str, deliveries: u64, since: u32) -> Holding {
    Holding {
        owner: owner.to_owned(),
        deliveries,
        since,
        idle: 10,
        idle_resets: 0,
    }
}

/// Returns the one violation in the sound history after a change.
fn violation_after(break_it: impl FnOnce(&mut History)) -> (ViolationKind, String) {
    let mut history = sound();
    break_it(&mut history);
    let mut violations = check(&history);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    let Violation { kind, what } = violations.remove(0);
    (kind, what)
}

/// Checks that a change causes a violation of this kind, whose text contains all these names.
fn assert_violation(kind: ViolationKind, names: &[&str], break_it: impl FnOnce(&mut History)) {
    let (found, what) = violation_after(break_it);
    assert_eq!(found, kind, "{what}");
    for name in names {
        assert!(what.contains(name), "{name:?} is not in {what:?}");
    }
}

#[test]
fn a_sound_history_is_accepted() {
    assert_eq!(check(&sound()), []);
}
