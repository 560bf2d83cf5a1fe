//! Tails that miss, repeat or invent something.

use super::*;

#[test]
fn a_tail_that_misses_an_entry() {
    assert_violation(ViolationKind::Lost, &["tail 0", "0-1", "3-0"], |history| {
        history.tails[0]
            .records
            .retain(|seen| *seen != TailRecord::Entry(id(3), text(0, 1)));
    });
    // A gap excuses what is within it and nothing else.
    assert_violation(ViolationKind::Lost, &["tail 1", "2-6", "16-0"], |history| {
        history.tails[1].records.remove(3);
    });
    assert_violation(ViolationKind::Lost, &["tail 1", "2-1", "11-0"], |history| {
        let TailRecord::Gap { after, .. } = &mut history.tails[1].records[2] else {
            panic!("no gap there")
        };
        *after = id(11);
    });
}

#[test]
fn a_tail_that_sees_an_entry_twice() {
    assert_violation(
        ViolationKind::Duplicated,
        &["tail 0", "1-0", "2-0"],
        |history| {
            let records = &mut history.tails[0].records;
            records.insert(5, TailRecord::Entry(id(2), text(1, 0)));
        },
    );
    assert_violation(
        ViolationKind::Duplicated,
        &["tail 1", "2-20", "12-0", "13-0"],
        |history| {
            // Twice in a stream that has trimmed both: only a tail can have seen it.
            let adds = &mut history.writers[2].adds;
            adds.drain(2..4);
            adds.insert(0, ended(20, unknown()));
            let records = &mut history.tails[1].records;
            records.splice(
                2..2,
                [
                    TailRecord::Entry(id(12), text(2, 20)),
                    TailRecord::Entry(id(13), text(2, 20)),
                ],
            );
        },
    );
}

#[test]
fn a_tail_that_sees_entries_out_of_order() {
    assert_violation(
        ViolationKind::OutOfOrder,
        &["tail 0", "0-2", "4-0"],
        |history| {
            let records = &mut history.tails[0].records;
            let last = records.len() - 1;
            records.swap(last - 1, last);
        },
    );
}

#[test]
fn a_tail_that_sees_an_entry_that_is_not_stored() {
    assert_violation(ViolationKind::Wrong, &["tail 0", "0-9", "9-0"], |history| {
        history.tails[0]
            .records
            .push(TailRecord::Entry(id(9), text(0, 9)));
    });
}

#[test]
fn a_tail_that_gets_a_gap_where_none_is() {
    let gap = |recreated| TailRecord::Gap {
        after: id(5),
        first: None,
        position: id(5),
        recreated,
    };
    assert_violation(ViolationKind::Wrong, &["tail 0", "5-0"], |history| {
        history.tails[0].records.push(gap(false));
    });
    assert_violation(ViolationKind::Wrong, &["tail 1", "18-0"], |history| {
        history.tails[1].records.push(gap(true));
    });
}

/// A tail that continues from the end must see all later entries, and none before.
#[test]
fn a_tail_that_skips() {
    let mut history = sound();
    // Instead of the entry at 3-0.
    history.tails[0].records[5] = TailRecord::Skipped(id(3));
    assert_eq!(check(&history), []);
    history.tails[0].records[5] = TailRecord::Skipped(id(2));
    let violations = check(&history);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!(violations[0].kind, ViolationKind::Lost);
    assert!(violations[0].what.contains("0-1, 3-0"), "{violations:?}");
    history.tails[0].records[5] = TailRecord::Skipped(id(4));
    let violations = check(&history);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!(violations[0].kind, ViolationKind::OutOfOrder);
    assert!(violations[0].what.contains("0-2, 4-0"), "{violations:?}");
}

#[test]
fn a_tail_that_goes_back_or_is_stopped() {
    assert_violation(ViolationKind::Wrong, &["tail 0", "1-0", "2-0"], |history| {
        history.tails[0].records[4] = TailRecord::Opened(id(1));
    });
    assert_violation(ViolationKind::Stuck, &["tail 0", "WRONGTYPE"], |history| {
        history.tails[0].records[3] = TailRecord::Ended("WRONGTYPE".to_owned());
    });
}

/// Makes the entries of writer 0 large, and tells a tail with small frames of them.
fn too_large(history: &mut History) -> &mut Vec<TailRecord> {
    history.writers[0].foreign_padding = Some(LARGE_PADDING);
    let tail = &mut history.tails[0];
    tail.frame_bytes = SMALL_FRAME_BYTES;
    for record in &mut tail.records {
        if let TailRecord::Entry(id, tag) = *record
            && tag.writer == 0
        {
            *record = TailRecord::TooLarge(id);
        }
    }
    &mut tail.records
}

#[test]
fn an_entry_that_is_too_large_is_reported_instead() {
    let mut history = sound();
    too_large(&mut history);
    assert_eq!(check(&history), []);
    let (kind, what) = violation_after(|history| {
        too_large(history).remove(1);
    });
    assert_eq!(kind, ViolationKind::Lost);
    assert!(what.contains("0-0, 1-0"), "{what}");
}

#[test]
fn a_report_of_a_large_entry_that_is_wrong() {
    let (kind, what) = violation_after(|history| {
        let records = too_large(history);
        records.push(TailRecord::TooLarge(id(4)));
    });
    assert_eq!(kind, ViolationKind::Duplicated);
    assert!(what.contains("4-0 twice"), "{what}");
    let (kind, what) = violation_after(|history| {
        too_large(history).push(TailRecord::TooLarge(id(7)));
    });
    assert_eq!(kind, ViolationKind::Wrong);
    assert!(what.contains("7-0"), "{what}");
    let (kind, what) = violation_after(|history| {
        let records = too_large(history);
        records.swap(1, 2);
    });
    assert_eq!(kind, ViolationKind::OutOfOrder);
    assert!(what.contains("1-0"), "{what}");
    let names = ["tail 0", "2-0", "fits"];
    assert_violation(ViolationKind::Wrong, &names, |history| {
        too_large(history)[2] = TailRecord::TooLarge(id(2));
    });
}
