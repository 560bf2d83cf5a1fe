//! Adds that are missing, twice, out of order, or not what their writer was told.

use super::*;

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
