//! Adds that are missing, twice, out of order, or not what their writer was told.

use super::*;

/// The tail saw it, and it is missing: one violation, not two.
#[test]
fn an_acknowledged_add_that_is_missing() {
    assert_violation(ViolationKind::Lost, &["0-0", "1-0", "orders"], |history| {
        history.streams[0].entries.remove(0);
    });
}

#[test]
fn an_acknowledged_add_with_another_id_than_its_reply() {
    let mut history = sound();
    history.writers[1].adds[2] = added(2, 6);
    let violations = check(&history);
    assert!(violations.iter().any(|violation| {
        violation.kind == ViolationKind::Lost
            && violation.what.contains("orders does not hold 1-2")
            && violation.what.contains("6-0")
    }));
}

/// An acknowledged add, and one whose reply was lost.
#[test]
fn an_add_that_is_stored_twice() {
    for number in [0, 1] {
        let twice = text(0, number);
        assert_violation(
            ViolationKind::Duplicated,
            &[&twice.to_string(), "9-0"],
            |history| {
                append(history, 9, twice);
            },
        );
    }
}

/// Appends an entry to `orders`, pending in its group. Removes the tail, which would cause a
/// violation of its own.
fn append(history: &mut History, ms: u64, text: EntryTag) {
    let stream = &mut history.streams[0];
    stream.entries.push((id(ms), text));
    let group = stream.group.as_mut().unwrap();
    group.last_delivered = id(ms);
    group.pending.insert(id(ms), pending_for("consumer 0"));
    history.tails.remove(0);
}

#[test]
fn a_refused_add_that_is_stored() {
    assert_violation(
        ViolationKind::Wrong,
        &["1-1", "9-0", "DISCONNECTED"],
        |history| {
            append(history, 9, text(1, 1));
        },
    );
}

#[test]
fn an_entry_that_nobody_added() {
    assert_violation(ViolationKind::Wrong, &["7-7", "9-0"], |history| {
        append(history, 9, text(7, 7));
    });
    assert_violation(ViolationKind::Wrong, &["orders", "9-0 f=x"], |history| {
        history.streams[0].unexpected.push("9-0 f=x".to_owned());
    });
    assert_violation(
        ViolationKind::Wrong,
        &["2-20", "another stream"],
        |history| {
            let mut adds = std::mem::take(&mut history.writers[2].adds);
            adds.insert(0, ended(20, unknown()));
            history.writers[2].adds = adds;
            append(history, 9, text(2, 20));
        },
    );
}

#[test]
fn adds_that_are_not_in_their_writers_order() {
    assert_violation(
        ViolationKind::OutOfOrder,
        &["2-4", "2-3", "recent"],
        |history| {
            let adds = &mut history.writers[2].adds;
            (adds[3].outcome, adds[4].outcome) = (adds[4].outcome.clone(), adds[3].outcome.clone());
        },
    );
}

/// The writer does not know the id of one of them.
#[test]
fn an_unknown_add_that_is_stored_out_of_order() {
    assert_violation(
        ViolationKind::OutOfOrder,
        &["0-1", "9-0", "0-2", "4-0"],
        |history| {
            history.streams[0].entries.remove(2);
            append(history, 9, text(0, 1));
        },
    );
}

#[test]
fn an_add_that_is_given_up_too_early() {
    assert_violation(
        ViolationKind::Wrong,
        &["0-1", "3999 ms", "4000"],
        |history| {
            history.writers[0].adds[1].ended -= 1;
        },
    );
}

#[test]
fn a_writer_that_is_stuck() {
    assert_violation(ViolationKind::Stuck, &["writer 1", "orders"], |history| {
        history.writers[1]
            .adds
            .push(ended(3, refused("DISCONNECTED")));
    });
    assert_violation(ViolationKind::Stuck, &["1-1"], |history| {
        history.writers[1].adds[1].outcome = Outcome::Hung;
    });
    assert_violation(ViolationKind::Stuck, &["1-1", "CLOSED"], |history| {
        history.writers[1].adds[1].outcome = refused("CLOSED");
    });
}

/// Only where Redis may forget what was added.
#[test]
fn an_add_that_is_forgotten_is_given_up_at_once() {
    let forget = |history: &mut History| {
        let why = "add number 2 is not remembered; it may have been stored";
        let add = &mut history.writers[0].adds[1];
        add.outcome = Outcome::Unknown(why.to_owned());
        add.ended = 0;
    };
    assert_violation(ViolationKind::Wrong, &["0-1", "remembered"], forget);
    let mut history = sound();
    forget(&mut history);
    history.may_evict = true;
    assert_eq!(check(&history), []);
    let why = Outcome::Unknown("no connection in time".to_owned());
    history.writers[0].adds[1].outcome = why;
    assert_eq!(check(&history).len(), 1);
}
