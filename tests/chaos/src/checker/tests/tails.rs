//! Tails that miss, repeat or invent something.

use super::*;

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
