//! `XADD`: every read returns names and values unchanged, whatever they hold.

use crate::fixture::{Fixture, pairs};

cases![
    names_may_repeat_and_keep_their_order,
    empty_names_and_values_are_kept,
    a_thousand_fields_are_kept,
    newlines_quotes_and_nul_are_kept,
    emoji_and_unusual_unicode_are_kept,
    names_of_javascript_properties_are_ordinary_names,
    numbers_stay_strings,
    ;
    heavy:
    names_and_values_of_a_mebibyte_are_kept,
];

/// Adds fields and checks that each of the three reads returns them.
async fn assert_kept(f: &Fixture, fields: Vec<(String, String)>) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    let id = f
        .backend
        .stream_add(&key, fields.clone(), None)
        .await
        .unwrap();
    let expected = [(id, fields)];
    let read = f.read(&key, "0").await.unwrap();
    let latest = f.backend.stream_read_latest(&key, 1).await.unwrap();
    let delivered = f.read_group_now(&key, "group", "consumer").await.unwrap();
    // Not `assert_eq!`, which would print megabytes.
    assert!(read == expected, "stream_read returned other fields");
    assert!(
        latest == expected,
        "stream_read_latest returned other fields"
    );
    assert!(
        delivered == expected,
        "stream_read_group returned other fields"
    );
}

/// An entry is a list of pairs, not a map.
async fn names_may_repeat_and_keep_their_order(f: Fixture) {
    assert_kept(
        &f,
        pairs(&[("b", "1"), ("a", "2"), ("b", "3"), ("a", "2"), ("b", "1")]),
    )
    .await;
}

/// Redis allows empty strings for both.
async fn empty_names_and_values_are_kept(f: Fixture) {
    assert_kept(&f, pairs(&[("", "")])).await;
    assert_kept(&f, pairs(&[("", "value"), ("name", ""), ("", "")])).await;
}

/// Alone and together.
async fn names_and_values_of_a_mebibyte_are_kept(f: Fixture) {
    let long = "0123456789abcdef".repeat(64 * 1024);
    assert_eq!(long.len(), 1024 * 1024);
    assert_kept(&f, vec![("value".into(), long.clone())]).await;
    assert_kept(
        &f,
        vec![(long.clone(), "name".into()), ("after".into(), long)],
    )
    .await;
}

/// In their order.
async fn a_thousand_fields_are_kept(f: Fixture) {
    assert_kept(
        &f,
        (0..1_000)
            .map(|i| (format!("name{i}"), format!("value{i}")))
            .collect(),
    )
    .await;
}

/// Control characters, and characters with a meaning in JSON, in the Redis protocol and in shells.
async fn newlines_quotes_and_nul_are_kept(f: Fixture) {
    let control: String = (0..=0x9f).filter_map(char::from_u32).collect();
    assert_kept(&f, vec![(control.clone(), control)]).await;
    assert_kept(
        &f,
        pairs(&[
            ("line\nbreak", "\r\n$3\r\nabc\r\n"),
            ("\"quoted\"", "'single' `back` \\ \\\" \\u0000"),
            ("nul\0inside", "\0"),
            ("{\"json\":[1]}", "</script><!--"),
        ]),
    )
    .await;
}

/// Characters of every UTF-8 length, and those that some layers drop.
async fn emoji_and_unusual_unicode_are_kept(f: Fixture) {
    assert_kept(
        &f,
        pairs(&[
            ("👩‍👩‍👧‍👦", "🦀🏳️‍🌈"),
            ("\u{feff}byte order mark", "\u{feff}"),
            ("\u{2028}line\u{2029}paragraph", "\u{200b}\u{202e}\u{ad}"),
            ("e\u{301}", "\u{e9}"),
            ("\u{fffd}", "\u{fffe}\u{ffff}\u{10ffff}\u{e000}"),
            ("\u{d7ff}\u{10000}", "ß漢字עברית"),
        ]),
    )
    .await;
}

/// `__proto__` and integer-like names are kept in their place.
async fn names_of_javascript_properties_are_ordinary_names(f: Fixture) {
    assert_kept(
        &f,
        pairs(&[
            ("__proto__", "1"),
            ("constructor", "2"),
            ("toString", "3"),
            ("10", "4"),
            ("9", "5"),
        ]),
    )
    .await;
}

/// No value is parsed as a number and formatted again.
async fn numbers_stay_strings(f: Fixture) {
    assert_kept(
        &f,
        pairs(&[
            ("007", "1e3"),
            ("1.0", "-0"),
            ("9007199254740993", "NaN"),
            (" 1 ", "true"),
        ]),
    )
    .await;
}
