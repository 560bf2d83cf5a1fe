//! `XADD`: whatever a field may hold comes out as it went in, by every way of reading.

use crate::fixture::{Fixture, pairs};

cases![
    names_may_repeat_and_keep_their_order,
    empty_names_and_values_are_kept,
    a_thousand_fields_are_kept,
    newlines_quotes_and_nul_are_kept,
    emoji_and_odd_unicode_are_kept,
    names_of_object_properties_are_plain_names,
    numbers_stay_text,
    ;
    heavy:
    one_mebibyte_values_are_kept,
];

/// Adds fields and compares what each of the three reads gives.
async fn comes_back(f: &Fixture, fields: Vec<(String, String)>) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    let id = f.backend.stream_add(&key, fields.clone(), None).await.unwrap();
    let expected = [(id, fields)];
    let read = f.read(&key, "0").await.unwrap();
    let latest = f.backend.stream_read_latest(&key, 1).await.unwrap();
    let taken = f.read_group_now(&key, "group", "consumer").await.unwrap();
    // Not assert_eq: megabytes of difference would help nobody.
    assert!(read == expected, "stream_read gave other fields");
    assert!(latest == expected, "stream_read_latest gave other fields");
    assert!(taken == expected, "stream_read_group gave other fields");
}

/// An entry is a list of pairs, not a map.
async fn names_may_repeat_and_keep_their_order(f: Fixture) {
    comes_back(&f, pairs(&[("b", "1"), ("a", "2"), ("b", "3"), ("a", "2"), ("b", "1")])).await;
}

/// Redis takes empty strings for both.
async fn empty_names_and_values_are_kept(f: Fixture) {
    comes_back(&f, pairs(&[("", "")])).await;
    comes_back(&f, pairs(&[("", "value"), ("name", ""), ("", "")])).await;
}

/// Long names and values, alone and together.
async fn one_mebibyte_values_are_kept(f: Fixture) {
    let long = "0123456789abcdef".repeat(64 * 1024);
    assert_eq!(long.len(), 1024 * 1024);
    comes_back(&f, vec![("value".into(), long.clone())]).await;
    comes_back(&f, vec![(long.clone(), "name".into()), ("after".into(), long)]).await;
}

/// Many fields, in order.
async fn a_thousand_fields_are_kept(f: Fixture) {
    comes_back(&f, (0..1_000).map(|i| (format!("name{i}"), format!("value{i}"))).collect()).await;
}

/// Control characters and what JSON, the Redis protocol and shells give a meaning to.
async fn newlines_quotes_and_nul_are_kept(f: Fixture) {
    let control: String = (0..=0x9f).filter_map(char::from_u32).collect();
    comes_back(&f, vec![(control.clone(), control)]).await;
    comes_back(
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

/// Characters of every length in UTF-8, and those that some layers swallow.
async fn emoji_and_odd_unicode_are_kept(f: Fixture) {
    comes_back(
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

/// Names that mean something to JavaScript's objects mean nothing here.
async fn names_of_object_properties_are_plain_names(f: Fixture) {
    comes_back(
        &f,
        pairs(&[("__proto__", "1"), ("constructor", "2"), ("toString", "3"), ("10", "4"), ("9", "5")]),
    )
    .await;
}

/// Values are text: nothing is read as a number and written again.
async fn numbers_stay_text(f: Fixture) {
    comes_back(
        &f,
        pairs(&[("007", "1e3"), ("1.0", "-0"), ("9007199254740993", "NaN"), (" 1 ", "true")]),
    )
    .await;
}
