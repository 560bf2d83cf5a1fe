//! Entries of a group that are lost, come twice, or are not what a consumer was told.

use super::*;

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
    // It left long after.
    objects(Broken::Lost, &["5-0", "consumer 0", "told"], |history| {
        history.consumers[0].given[5] = Given::Left(70_000);
    });
    let by_calls = |history: &mut History, code: &str| {
        history.consumers[0].subscribes = false;
        history.consumers[0].given[5] = Given::Ended(code.to_owned(), 400);
    };
    objects(Broken::Lost, &["5-0", "consumer 0", "told"], |history| {
        by_calls(history, "DISCONNECTED");
    });
    let mut history = sound();
    by_calls(&mut history, "UNKNOWN_OUTCOME");
    assert_eq!(check(&history), []);
}

#[test]
fn a_subscription_that_ends() {
    objects(Broken::Stuck, &["tail 0", "DISCONNECTED"], |history| {
        history.tails[0].subscribes = true;
    });
    objects(Broken::Stuck, &["consumer 0", "DISCONNECTED"], |history| {
        let end = Given::Ended("DISCONNECTED".to_owned(), 3_000);
        history.consumers[0].given.push(end);
    });
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
        Given::Left(3_000),
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
