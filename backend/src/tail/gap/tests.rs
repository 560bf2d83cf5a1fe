use super::*;

fn id(text: &str) -> EntryId {
    EntryId::parse(text).unwrap()
}

fn facts(first: Option<&str>, last_generated: &str, length: u64, added: u64) -> StreamInfo {
    StreamInfo {
        first: first.map(id),
        last_generated: id(last_generated),
        length,
        added,
    }
}

fn broken(first: Option<&str>, recreated: bool, position: &str) -> Option<Discontinuity> {
    Some(Discontinuity {
        first: first.map(id),
        recreated,
        position: id(position),
    })
}

/// Judges an absent entry, and that going on from a break is no break.
fn absent(at: &str, added: Option<u64>, facts: Option<StreamInfo>) -> Option<Discontinuity> {
    let judged = detect(id(at), false, added, facts.as_ref());
    if let Some(Discontinuity { position, .. }) = judged {
        assert_eq!(detect(position, false, None, facts.as_ref()), None);
    }
    judged
}

#[test]
fn a_missing_stream_is_an_empty_one_to_who_has_seen_nothing() {
    assert_eq!(absent("0-0", None, None), None);
    assert_eq!(absent("5-0", None, None), broken(None, true, "0-0"));
}

#[test]
fn a_present_entry_is_no_gap() {
    let facts = facts(Some("5-0"), "9-0", 2, 100);
    assert_eq!(detect(id("5-0"), true, None, Some(&facts)), None);
}

#[test]
fn ids_that_began_anew_are_another_stream() {
    let new = facts(Some("3-0"), "4-0", 2, 2);
    assert_eq!(
        absent("5-0", None, Some(new)),
        broken(Some("3-0"), true, "2-18446744073709551615")
    );
    let emptied = facts(None, "4-0", 0, 2);
    assert_eq!(
        absent("5-0", None, Some(emptied)),
        broken(None, true, "4-0")
    );
    let first_of_all = facts(Some("0-1"), "0-1", 1, 9);
    assert_eq!(
        absent("5-0", None, Some(first_of_all)),
        broken(Some("0-1"), true, "0-0")
    );
}

#[test]
fn a_count_that_went_back_is_another_stream() {
    let new = facts(Some("7-0"), "7-0", 1, 1);
    assert_eq!(
        absent("5-0", Some(2), Some(new)),
        broken(Some("7-0"), true, "6-18446744073709551615")
    );
}

#[test]
fn an_entry_deleted_from_the_middle_is_no_gap() {
    let facts = facts(Some("4-0"), "9-0", 3, 100);
    assert_eq!(absent("5-0", None, Some(facts)), None);
}

#[test]
fn behind_the_last_id_nothing_can_be_missing() {
    assert_eq!(absent("5-0", None, Some(facts(None, "5-0", 0, 100))), None);
}

#[test]
fn the_next_id_leaves_no_room_for_another() {
    let facts = facts(Some("5-1"), "9-0", 3, 100);
    assert_eq!(absent("5-0", None, Some(facts)), None);
}

#[test]
fn what_was_trimmed_is_a_gap() {
    let trimmed = facts(Some("7-0"), "9-0", 3, 100);
    assert_eq!(
        absent("5-0", None, Some(trimmed)),
        broken(Some("7-0"), false, "6-18446744073709551615")
    );
    let to_nothing = facts(None, "9-0", 0, 100);
    assert_eq!(
        absent("5-0", None, Some(to_nothing)),
        broken(None, false, "9-0")
    );
}

#[test]
fn from_the_start_a_gap_is_what_was_removed() {
    assert_eq!(
        absent("0-0", None, Some(facts(Some("7-0"), "9-0", 3, 3))),
        None
    );
    assert_eq!(
        absent("0-0", None, Some(facts(Some("7-0"), "9-0", 3, 4))),
        broken(Some("7-0"), false, "6-18446744073709551615")
    );
}

#[test]
fn the_count_tells_a_deletion_from_a_gap() {
    let grown = facts(Some("7-0"), "9-0", 3, 13);
    assert_eq!(absent("5-0", Some(10), Some(grown)), None);
    assert_eq!(
        absent("5-0", Some(9), Some(grown)),
        broken(Some("7-0"), false, "6-18446744073709551615")
    );
    assert_eq!(absent("0-0", Some(10), Some(grown)), None);
}
