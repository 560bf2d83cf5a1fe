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
    }
}

fn gap(first: Option<&str>, recreated: bool, position: &str) -> Option<Discontinuity> {
    Some(Discontinuity {
        first: first.map(id),
        recreated,
        position: id(position),
    })
}

/// Detects a gap at a position whose entry is absent. Checks that the position after the gap has
/// none.
fn detect_at_absent(
    position: &str,
    added: Option<u64>,
    info: Option<StreamInfo>,
) -> Option<Discontinuity> {
    let found = detect(id(position), false, added, info.as_ref());
    if let Some(gap) = found {
        assert_eq!(detect(gap.position, false, None, info.as_ref()), None);
    }
    found
}

#[test]
fn a_missing_stream_is_a_gap_only_after_a_position_in_it() {
    assert_eq!(detect_at_absent("0-0", None, None), None);
    assert_eq!(detect_at_absent("5-0", None, None), gap(None, true, "0-0"));
}

#[test]
fn no_gap_is_found_at_a_present_entry() {
    let info = info(Some("5-0"), "9-0", 2, 100);
    assert_eq!(detect(id("5-0"), true, None, Some(&info)), None);
}

#[test]
fn a_last_id_before_the_position_means_a_recreated_stream() {
    let new = info(Some("3-0"), "4-0", 2, 2);
    assert_eq!(
        detect_at_absent("5-0", None, Some(new)),
        gap(Some("3-0"), true, "2-18446744073709551615")
    );
    let emptied = info(None, "4-0", 0, 2);
    assert_eq!(
        detect_at_absent("5-0", None, Some(emptied)),
        gap(None, true, "4-0")
    );
    let first_of_all = info(Some("0-1"), "0-1", 1, 9);
    assert_eq!(
        detect_at_absent("5-0", None, Some(first_of_all)),
        gap(Some("0-1"), true, "0-0")
    );
}

#[test]
fn a_smaller_count_of_added_entries_means_a_recreated_stream() {
    let new = info(Some("7-0"), "7-0", 1, 1);
    assert_eq!(
        detect_at_absent("5-0", Some(2), Some(new)),
        gap(Some("7-0"), true, "6-18446744073709551615")
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
        gap(Some("7-0"), false, "6-18446744073709551615")
    );
    let to_nothing = info(None, "9-0", 0, 100);
    assert_eq!(
        detect_at_absent("5-0", None, Some(to_nothing)),
        gap(None, false, "9-0")
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
        gap(Some("7-0"), false, "6-18446744073709551615")
    );
}

#[test]
fn the_count_of_added_entries_tells_a_deletion_from_a_gap() {
    let grown = info(Some("7-0"), "9-0", 3, 13);
    assert_eq!(detect_at_absent("5-0", Some(10), Some(grown)), None);
    assert_eq!(
        detect_at_absent("5-0", Some(9), Some(grown)),
        gap(Some("7-0"), false, "6-18446744073709551615")
    );
    assert_eq!(detect_at_absent("0-0", Some(10), Some(grown)), None);
}
