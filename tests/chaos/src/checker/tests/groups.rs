//! Entries of a group that are lost, delivered twice, or differ from what a consumer recorded.

use super::*;

fn orders(history: &mut History) -> &mut Group {
    history.streams[0].group.as_mut().unwrap()
}

#[test]
fn a_group_entry_that_is_lost() {
    assert_violation(
        ViolationKind::Lost,
        &["1-2", "5-0", "no consumer"],
        |history| {
            orders(history).pending.clear();
        },
    );
    assert_violation(
        ViolationKind::Lost,
        &["1-2", "5-0", "never delivered"],
        |history| {
            orders(history).pending.clear();
            orders(history).last_delivered = id(4);
        },
    );
    assert_violation(
        ViolationKind::Lost,
        &["1-0", "2-0", "no consumer"],
        |history| {
            orders(history).dead.clear();
        },
    );
}

#[test]
fn an_acknowledgement_that_is_lost() {
    assert_violation(
        ViolationKind::Lost,
        &["0-0", "1-0", "is pending"],
        |history| {
            let pending = &mut orders(history).pending;
            pending.insert(id(1), pending_for("consumer 0"));
        },
    );
}

#[test]
fn a_refused_acknowledgement_that_took_effect() {
    let names = ["0-2", "4-0", "consumer 1", "DISCONNECTED"];
    assert_violation(ViolationKind::Wrong, &names, |history| {
        history.consumers[0].records.pop();
    });
}

#[test]
fn a_pending_entry_that_nobody_reclaims() {
    assert_violation(
        ViolationKind::Stuck,
        &["5-0", "consumer 0", "orders"],
        |history| {
            orders(history).reclaims = true;
        },
    );
}

#[test]
fn a_pending_entry_that_no_consumer_explains() {
    // It left long after.
    assert_violation(
        ViolationKind::Lost,
        &["5-0", "consumer 0", "error"],
        |history| {
            history.consumers[0].records[5] = ConsumerRecord::Left(70_000);
        },
    );
    let by_calls = |history: &mut History, code: &str| {
        history.consumers[0].subscribes = false;
        history.consumers[0].records[5] = ConsumerRecord::Ended(code.to_owned(), 400);
    };
    assert_violation(
        ViolationKind::Lost,
        &["5-0", "consumer 0", "error"],
        |history| {
            by_calls(history, "DISCONNECTED");
        },
    );
    let mut history = sound();
    by_calls(&mut history, "UNKNOWN_OUTCOME");
    assert_eq!(check(&history), []);
}

#[test]
fn a_subscription_that_ends() {
    assert_violation(
        ViolationKind::Stuck,
        &["tail 0", "DISCONNECTED"],
        |history| {
            history.tails[0].subscribes = true;
        },
    );
    assert_violation(
        ViolationKind::Stuck,
        &["consumer 0", "DISCONNECTED"],
        |history| {
            let end = ConsumerRecord::Ended("DISCONNECTED".to_owned(), 3_000);
            history.consumers[0].records.push(end);
        },
    );
}

#[test]
fn a_dead_letter_that_is_wrong() {
    assert_violation(
        ViolationKind::Duplicated,
        &["1-0", "2-0", "twice"],
        |history| {
            orders(history).dead.push(dead_letter());
        },
    );
    assert_violation(
        ViolationKind::Duplicated,
        &["1-0", "2-0", "pending"],
        |history| {
            let pending = &mut orders(history).pending;
            pending.insert(id(2), pending_for("consumer 0"));
        },
    );
    assert_violation(
        ViolationKind::Wrong,
        &["1-0", "2-0", "3 times"],
        |history| {
            orders(history).dead[0].deliveries = MAX_DELIVERIES - 1;
        },
    );
    assert_violation(
        ViolationKind::Wrong,
        &["1-0", "2-0", "5 times"],
        |history| {
            orders(history).dead[0].deliveries = MAX_DELIVERIES + 1;
        },
    );
    assert_violation(ViolationKind::Wrong, &["1-0", "consumer 7"], |history| {
        orders(history).dead[0].holder = "consumer 7".to_owned();
    });
    assert_violation(
        ViolationKind::Wrong,
        &["9-9", "2-0", "not in the stream"],
        |history| {
            orders(history).dead[0].text = text(9, 9);
        },
    );
    assert_violation(ViolationKind::Wrong, &["orders", "9-0 f=x"], |history| {
        orders(history).unexpected.push("9-0 f=x".to_owned());
    });
}

#[test]
fn an_entry_that_is_delivered_twice_to_a_consumer() {
    assert_violation(
        ViolationKind::Duplicated,
        &["consumer 1", "1-0", "2-0"],
        |history| {
            let records = &mut history.consumers[1].records;
            records.push(records[1].clone());
        },
    );
    assert_violation(
        ViolationKind::Duplicated,
        &["consumer 0", "0-0", "acknowledged"],
        |history| {
            let again = ConsumerRecord::Delivered(id(1), text(0, 0), 700);
            history.consumers[0].records.push(again);
        },
    );
}

/// A new subscription is no excuse for a consumer that does not reclaim.
#[test]
fn a_consumer_that_resubscribes_without_reclaiming() {
    assert_violation(
        ViolationKind::Duplicated,
        &["consumer 1", "1-0", "2-0"],
        |history| {
            history.consumers.push(ConsumerJournal {
                name: "consumer 2".to_owned(),
                reclaims: true,
                frame_bytes: FRAME_BYTES,
                ..ConsumerJournal::default()
            });
            let holdings = history.pending_history.owners.get_mut(&(0, id(4)));
            holdings.unwrap()[1].owner = "consumer 2".to_owned();
            history.consumers[1].reclaims = false;
            let records = &mut history.consumers[1].records;
            let again = records[1].clone();
            records.extend([ConsumerRecord::Opened, again]);
        },
    );
}

/// One redelivery is excused for each time that another consumer owned the entry.
#[test]
fn a_redelivery_without_another_owner() {
    assert_violation(
        ViolationKind::Duplicated,
        &["consumer 0", "0-2", "4-0"],
        |history| {
            history.pending_history.owners.clear();
        },
    );
    assert_violation(
        ViolationKind::Duplicated,
        &["consumer 0", "0-2", "4-0"],
        |history| {
            let again = ConsumerRecord::Delivered(id(4), text(0, 2), 2_700);
            history.consumers[0].records.push(again);
        },
    );
    assert_violation(
        ViolationKind::Duplicated,
        &["consumer 0", "0-2", "4-0"],
        |history| {
            let holders = history.pending_history.owners.values_mut().next().unwrap();
            holders.remove(0);
        },
    );
}

/// Another owner at a time without samples is an excuse; at any other time it is none.
#[test]
fn a_redelivery_during_missing_samples_is_excused() {
    let unseen = |looks: std::ops::Range<usize>| {
        let mut history = sound();
        history.pending_history.owners.clear();
        history.pending_history.samples.drain(looks);
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

/// It reclaims its own unacknowledged entries like those of any consumer.
#[test]
fn a_consumer_that_resubscribes_may_reclaim_its_own_entries() {
    let mut history = sound();
    let records = &mut history.consumers[0].records;
    records.extend([
        ConsumerRecord::Delivered(id(5), text(1, 2), 2_700),
        ConsumerRecord::Left(3_000),
        ConsumerRecord::Opened,
        ConsumerRecord::Delivered(id(5), text(1, 2), 3_800),
    ]);
    assert_eq!(check(&history), []);
}

#[test]
fn a_consumer_that_is_stuck() {
    assert_violation(
        ViolationKind::Stuck,
        &["consumer 1", "NOGROUP"],
        |history| {
            let records = &mut history.consumers[1].records;
            records.push(ConsumerRecord::Ended("NOGROUP".to_owned(), 400));
        },
    );
    for (outcome, name) in [
        (Outcome::Hung, "never ended"),
        (Outcome::Refused("NOGROUP".to_owned()), "NOGROUP"),
    ] {
        assert_violation(
            ViolationKind::Stuck,
            &["consumer 1", "4-0", name],
            |history| {
                *history.consumers[1].records.last_mut().unwrap() =
                    ConsumerRecord::Acked(id(4), outcome);
            },
        );
    }
}

/// Makes the pending entry too large for its consumer, which reads by calls.
fn too_large(history: &mut History) -> &mut Vec<ConsumerRecord> {
    history.writers[1].foreign_padding = Some(LARGE_PADDING);
    let consumer = &mut history.consumers[0];
    consumer.subscribes = false;
    consumer.frame_bytes = SMALL_FRAME_BYTES;
    consumer.records[5] = ConsumerRecord::TooLarge(id(5));
    &mut consumer.records
}

#[test]
fn a_pending_entry_that_is_too_large_is_explained() {
    let mut history = sound();
    too_large(&mut history);
    assert_eq!(check(&history), []);
    // A subscription does not report it.
    too_large(&mut history).remove(5);
    history.consumers[0].subscribes = true;
    assert_eq!(check(&history), []);
    let names = ["5-0", "consumer 0", "error"];
    assert_violation(ViolationKind::Lost, &names, |history| {
        too_large(history).remove(5);
    });
}

#[test]
fn a_report_of_a_large_entry_that_is_wrong() {
    let names = ["consumer 0", "5-0", "twice"];
    assert_violation(ViolationKind::Duplicated, &names, |history| {
        too_large(history).push(ConsumerRecord::TooLarge(id(5)));
    });
    let names = ["consumer 0", "3-0", "fits"];
    assert_violation(ViolationKind::Wrong, &names, |history| {
        too_large(history).push(ConsumerRecord::TooLarge(id(3)));
    });
}

/// It stays pending, because nobody can get it.
#[test]
fn only_an_entry_that_fits_nobody_is_never_reclaimed() {
    let mut history = sound();
    too_large(&mut history);
    history.consumers[1].frame_bytes = SMALL_FRAME_BYTES;
    orders(&mut history).reclaims = true;
    assert_eq!(check(&history), []);
    history.consumers[1].frame_bytes = FRAME_BYTES;
    let violations = check(&history);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    assert_eq!(violations[0].kind, ViolationKind::Stuck);
}
