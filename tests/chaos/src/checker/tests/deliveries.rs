//! Counts of deliveries and idle times that something else than a delivery changed.

use super::*;

fn holdings(history: &mut History) -> &mut Vec<Holding> {
    history.pending_history.owners.get_mut(&(0, id(4))).unwrap()
}

#[test]
fn more_deliveries_than_were_possible_in_the_time() {
    let names = ["4-0", "orders", "4 deliveries", "consumer 0", "2550 ms"];
    assert_violation(ViolationKind::Wrong, &names, |history| {
        holdings(history)[2].deliveries = 4;
    });
    // Nobody reclaims, so there is one delivery.
    let names = ["4-0", "orders", "2 deliveries", "at most 1"];
    assert_violation(ViolationKind::Wrong, &names, |history| {
        history.consumers[0].records.remove(9);
        for consumer in &mut history.consumers {
            consumer.reclaims = false;
        }
        *holdings(history) = vec![holding("consumer 0", 2, 60_000)];
    });
}

#[test]
fn deliveries_that_change_without_a_claim() {
    assert_violation(ViolationKind::Wrong, &["4-0", "had 2"], |history| {
        holdings(history)[2].deliveries = 2;
    });
    assert_violation(ViolationKind::Wrong, &["4-0", "had 2"], |history| {
        holdings(history)[2].deliveries = 1;
    });
    let names = ["4-0", "consumer 1", "does not reclaim"];
    assert_violation(ViolationKind::Wrong, &names, |history| {
        history.consumers[1].reclaims = false;
    });
}

#[test]
fn an_idle_time_that_begins_anew() {
    let names = ["4-0", "orders", "consumer 1", "1500 ms"];
    assert_violation(ViolationKind::Wrong, &names, |history| {
        holdings(history)[1].idle_resets = 1;
    });
}

/// An entry that is too large for its next owner is claimed without a delivery.
#[test]
fn a_claim_of_an_entry_that_is_too_large_is_no_delivery() {
    let mut history = sound();
    history.writers[0].foreign_padding = Some(LARGE_PADDING);
    let new = ConsumerJournal {
        name: "consumer 2".to_owned(),
        reclaims: true,
        frame_bytes: SMALL_FRAME_BYTES,
        ..ConsumerJournal::default()
    };
    history.consumers.push(new);
    let mut claimed = holding("consumer 2", 3, 3_600);
    claimed.idle_resets = 2;
    holdings(&mut history).push(claimed);
    assert_eq!(check(&history), []);
    history.consumers[2].frame_bytes = FRAME_BYTES;
    let violations = check(&history);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    assert!(violations[0].what.contains("consumer 2"));
}

#[test]
fn a_sample_that_shrinks_an_idle_time_is_a_reset() {
    let mut history = PendingHistory::default();
    let state = |idle| PendingState {
        idle,
        ..pending_for("consumer 0")
    };
    for (at, idle) in [(100, 50), (200, 150), (300, 145), (400, 30), (500, 130)] {
        history.record(0, [(id(1), state(idle))].into(), at);
    }
    let holdings = &history.owners[&(0, id(1))];
    assert_eq!(holdings.len(), 1);
    assert_eq!((holdings[0].since, holdings[0].idle_resets), (100, 1));
}
