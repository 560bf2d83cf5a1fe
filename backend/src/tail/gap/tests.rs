use super::*;

fn id(text: &str) -> EntryId {
    text.parse().unwrap()
}

fn info(first: Option<&str>, last_generated: &str, length: u64, added: u64) -> StreamInfo {
    StreamInfo {
        first: first.map(id),
        last_generated: id(last_generated),
        length,
        added,
        max_deleted: EntryId::ZERO,
    }
}

const TRIMMED: GapReason = GapReason::Trimmed;
const RECREATED: GapReason = GapReason::Recreated;
const ROLLED_BACK: GapReason = GapReason::RolledBack;

fn gap(first: Option<&str>, reason: GapReason, position: &str) -> Option<Discontinuity> {
    Some(Discontinuity {
        first: first.map(id),
        reason,
        position: id(position),
    })
}

/// What a tail knows that has read nothing.
fn at(position: EntryId, read_ids: &ReadIds) -> TailFacts<'_> {
    TailFacts {
        position,
        is_present: false,
        found_after: (0, None),
        added: None,
        read_ids,
        looked_up: None,
    }
}

/// The ids that a tail has read, one a page.
fn read(ids: &[&str]) -> ReadIds {
    let mut read_ids = ReadIds::default();
    ids.iter().for_each(|text| read_ids.record(id(text)));
    read_ids
}

/// Detects a gap at a position whose entry is absent, in a stream that has `entries`, each of which
/// can be looked up.
fn detect_lost(facts: TailFacts<'_>, info: StreamInfo, entries: &[&str]) -> Option<Discontinuity> {
    let looked_up: Vec<_> = match detect(facts, Some(&info)) {
        Detection::Contiguous => return None,
        Detection::Gap(found) => return Some(found),
        Detection::LookUp(ids) => {
            let is_there = |entry: &EntryId| entries.iter().any(|text| id(text) == *entry);
            ids.into_iter().map(|id| (id, is_there(&id))).collect()
        }
    };
    let looked_up = Some(&*looked_up);
    match detect(TailFacts { looked_up, ..facts }, Some(&info)) {
        Detection::Gap(found) => Some(found),
        other => panic!("{other:?}"),
    }
}

/// Detects a gap at a position whose entry is absent. Checks that the position after the gap has
/// none.
fn detect_at_absent(
    position: &str,
    added: Option<u64>,
    info: Option<StreamInfo>,
) -> Option<Discontinuity> {
    let none = ReadIds::default();
    let facts = at(id(position), &none);
    match detect(TailFacts { added, ..facts }, info.as_ref()) {
        Detection::Contiguous => None,
        Detection::Gap(gap) => {
            let again = detect(at(gap.position, &none), info.as_ref());
            assert_eq!(again, Detection::Contiguous);
            Some(gap)
        }
        Detection::LookUp(ids) => panic!("there is nothing to look up: {ids:?}"),
    }
}

#[test]
fn a_missing_stream_is_a_gap_only_after_a_position_in_it() {
    assert_eq!(detect_at_absent("0-0", None, None), None);
    assert_eq!(
        detect_at_absent("5-0", None, None),
        gap(None, RECREATED, "0-0")
    );
}

#[test]
fn no_gap_is_found_at_a_present_entry() {
    let info = info(Some("5-0"), "9-0", 2, 100);
    let none = ReadIds::default();
    let facts = TailFacts {
        is_present: true,
        ..at(id("5-0"), &none)
    };
    assert_eq!(detect(facts, Some(&info)), Detection::Contiguous);
}

#[test]
fn a_last_id_before_the_position_means_a_recreated_stream() {
    let new = info(Some("3-0"), "4-0", 2, 2);
    assert_eq!(
        detect_at_absent("5-0", None, Some(new)),
        gap(Some("3-0"), RECREATED, "2-18446744073709551615")
    );
    let emptied = info(None, "4-0", 0, 2);
    assert_eq!(
        detect_at_absent("5-0", None, Some(emptied)),
        gap(None, RECREATED, "4-0")
    );
    let first_of_all = info(Some("0-1"), "0-1", 1, 9);
    assert_eq!(
        detect_at_absent("5-0", None, Some(first_of_all)),
        gap(Some("0-1"), RECREATED, "0-0")
    );
}

#[test]
fn a_smaller_count_of_added_entries_means_a_recreated_stream() {
    let new = info(Some("7-0"), "7-0", 1, 1);
    assert_eq!(
        detect_at_absent("5-0", Some(2), Some(new)),
        gap(Some("7-0"), RECREATED, "6-18446744073709551615")
    );
}

#[test]
fn an_entry_deleted_from_the_middle_is_no_gap() {
    let info = info(Some("4-0"), "9-0", 3, 100);
    assert_eq!(detect_at_absent("5-0", None, Some(info)), None);
}

#[test]
fn nothing_can_be_missing_after_the_last_id() {
    assert_eq!(
        detect_at_absent("5-0", None, Some(info(None, "5-0", 0, 100))),
        None
    );
}

#[test]
fn nothing_is_missing_if_the_first_entry_left_is_the_next_id() {
    let info = info(Some("5-1"), "9-0", 3, 100);
    assert_eq!(detect_at_absent("5-0", None, Some(info)), None);
}

#[test]
fn trimmed_entries_are_a_gap() {
    let trimmed = info(Some("7-0"), "9-0", 3, 100);
    assert_eq!(
        detect_at_absent("5-0", None, Some(trimmed)),
        gap(Some("7-0"), TRIMMED, "6-18446744073709551615")
    );
    let to_nothing = info(None, "9-0", 0, 100);
    assert_eq!(
        detect_at_absent("5-0", None, Some(to_nothing)),
        gap(None, TRIMMED, "9-0")
    );
}

#[test]
fn at_the_start_every_removed_entry_is_a_gap() {
    assert_eq!(
        detect_at_absent("0-0", None, Some(info(Some("7-0"), "9-0", 3, 3))),
        None
    );
    assert_eq!(
        detect_at_absent("0-0", None, Some(info(Some("7-0"), "9-0", 3, 4))),
        gap(Some("7-0"), TRIMMED, "6-18446744073709551615")
    );
}

#[test]
fn the_count_of_added_entries_tells_a_deletion_from_a_gap() {
    let grown = info(Some("7-0"), "9-0", 3, 13);
    assert_eq!(detect_at_absent("5-0", Some(10), Some(grown)), None);
    assert_eq!(
        detect_at_absent("5-0", Some(9), Some(grown)),
        gap(Some("7-0"), TRIMMED, "6-18446744073709551615")
    );
    assert_eq!(detect_at_absent("0-0", Some(10), Some(grown)), None);
}

#[test]
fn a_stream_with_an_entry_that_was_read_was_rolled_back() {
    let read_ids = read(&["1-0", "2-0", "3-0", "4-0", "5-0"]);
    let facts = at(id("5-0"), &read_ids);
    let older = info(Some("1-0"), "3-0", 3, 3);
    assert_eq!(
        detect_lost(facts, older, &["1-0", "2-0", "3-0"]),
        gap(None, ROLLED_BACK, "3-0")
    );
}

#[test]
fn a_stream_without_the_entries_that_were_read_was_recreated() {
    let read_ids = read(&["1-0", "2-0", "3-0", "4-0", "5-0"]);
    let facts = at(id("5-0"), &read_ids);
    let other = info(Some("0-7"), "4-1", 3, 3);
    assert_eq!(
        detect_lost(facts, other, &["0-7", "3-1", "4-1"]),
        gap(Some("0-7"), RECREATED, "0-6")
    );
}

#[test]
fn a_rolled_back_stream_that_has_grown_since_is_recognized_by_its_count() {
    let read_ids = read(&["1-0", "2-0", "3-0", "4-0", "5-0"]);
    let facts = TailFacts {
        found_after: (3, Some(id("7-0"))),
        added: Some(5),
        ..at(id("5-0"), &read_ids)
    };
    let grown = info(Some("1-0"), "9-0", 6, 6);
    assert_eq!(
        detect_lost(facts, grown, &["1-0", "2-0", "3-0", "7-0", "8-0", "9-0"]),
        gap(Some("7-0"), ROLLED_BACK, "5-0")
    );
}

#[test]
fn ids_of_a_clock_do_not_go_back_by_themselves() {
    let none = ReadIds::default();
    let clock = |n: u64| format!("17000000000{n:02}-0");
    let facts = at(id(&clock(50)), &none);
    let older = info(Some(&clock(10)), &clock(40), 3, 3);
    assert_eq!(
        detect_lost(facts, older, &[]),
        gap(None, ROLLED_BACK, &clock(40))
    );
    let numbered = info(Some("1-0"), "3-0", 3, 3);
    let before_first = "0-18446744073709551615";
    assert_eq!(
        detect_lost(facts, numbered, &[]),
        gap(Some("1-0"), RECREATED, before_first)
    );
}

#[test]
fn a_stream_before_the_first_entry_of_the_old_one_is_another() {
    let clock = |n: u64| format!("17000000000{n:02}-0");
    let mut read_ids = read(&[&clock(60)]);
    read_ids.record_info(&info(Some(&clock(50)), &clock(60), 2, 2));
    let other = info(Some(&clock(10)), &clock(40), 3, 3);
    let found = detect_lost(at(id(&clock(60)), &read_ids), other, &[]).unwrap();
    assert_eq!(found.reason, RECREATED);
}

#[test]
fn the_only_entry_that_was_ever_removed_is_no_gap_at_its_place() {
    let left = info(Some("7-0"), "9-0", 3, 4);
    assert_eq!(
        detect_at_absent("5-0", None, Some(left.max_deleted(id("5-0")))),
        None
    );
    let other = left.max_deleted(id("6-0"));
    let expected = gap(Some("7-0"), TRIMMED, "6-18446744073709551615");
    assert_eq!(detect_at_absent("5-0", None, Some(other)), expected);
    let two = info(Some("7-0"), "9-0", 3, 5).max_deleted(id("5-0"));
    assert_eq!(detect_at_absent("5-0", None, Some(two)), expected);
}
