//! Tails report missing entries as a gap: in its place, once, and only then.

use streamgate_protocol::{Gap, GapReason, TailFrom};

use crate::fixture::{DirectRedis, Fixture, pairs, parts};
use crate::reader::{Reader, Received};

cases![
    resuming_at_a_trimmed_entry_reports_a_gap,
    resuming_after_a_gap_reports_no_second_gap,
    resuming_at_an_existing_entry_reports_no_gap,
    a_trimmed_stream_starts_without_a_gap,
    resuming_from_an_empty_stream_reports_entries_trimmed_since,
    resuming_in_a_missing_stream_reports_it_as_recreated,
    a_tail_that_keeps_up_reports_no_gap,
    a_tail_that_resumes_at_the_end_and_keeps_up_reports_no_gap,
    ;
    heavy:
    entries_trimmed_while_a_tail_is_not_polled_are_reported,
    ;
    needs_redis:
    a_gap_up_to_the_end_names_no_next_entry,
    trimming_a_stream_that_was_read_to_its_end_reports_no_gap,
    resuming_at_a_deleted_entry_reports_no_gap_while_older_ones_exist,
    resuming_right_before_the_first_entry_reports_no_gap,
    resuming_at_the_only_entry_that_was_ever_removed_reports_no_gap,
];

/// Redis trims whole nodes of 100 entries, so this many leave some.
const ADDED: usize = 350;

/// Adds and trims entries; returns the ids of all entries and of those that are left.
async fn trimmed_stream(f: &Fixture, key: &str) -> (Vec<String>, Vec<String>) {
    let mut added = f.add_concurrently(key, ADDED).await.unwrap();
    added.push(
        f.backend
            .stream_add(key, pairs(&[("value", "")]), Some(10))
            .await
            .unwrap(),
    );
    let left = f.read(key, "0").await.unwrap();
    assert!(left.len() < 200, "{} entries are left", left.len());
    (added, left.into_iter().map(|(id, _)| id).collect())
}

/// Checks a gap between the positions `after` and `first` of the same stream.
fn expect_gap(gap: &Gap, after: &str, first: &str) {
    assert_eq!((&*gap.after, gap.first.as_deref()), (after, Some(first)));
    assert_eq!(gap.reason, GapReason::Trimmed, "{gap:?}");
    assert!(parts(&gap.position) < parts(first), "{gap:?}");
}

/// Before the first entry that is left.
async fn resuming_at_a_trimmed_entry_reports_a_gap(f: Fixture) {
    let key = f.key();
    let (added, mut left) = trimmed_stream(&f, &key).await;
    for seen in [0, 10, 100] {
        let after = added[seen].clone();
        let mut tail = Reader::open(&f, &key, TailFrom::After(after.clone())).await;
        expect_gap(&tail.gap().await, &after, &left[0]);
        assert_eq!(tail.ids(left.len()).await, left);
        left.push(f.add(&key, "new").await.unwrap());
        assert_eq!(tail.ids(1).await, left[left.len() - 1..]);
    }
}

/// Whether or not the reader has read entries after the gap.
async fn resuming_after_a_gap_reports_no_second_gap(f: Fixture) {
    let key = f.key();
    let (added, left) = trimmed_stream(&f, &key).await;
    let mut tail = Reader::open(&f, &key, TailFrom::After(added[5].clone())).await;
    let gap = tail.gap().await;
    for _ in 0..3 {
        let mut tail = Reader::open(&f, &key, TailFrom::After(gap.position.clone())).await;
        assert_eq!(tail.ids(left.len()).await, left);
    }
}

/// However many entries before it were trimmed.
async fn resuming_at_an_existing_entry_reports_no_gap(f: Fixture) {
    let key = f.key();
    let (_, left) = trimmed_stream(&f, &key).await;
    for seen in [0, left.len() / 2, left.len() - 1] {
        let mut tail = Reader::open(&f, &key, TailFrom::After(left[seen].clone())).await;
        assert_eq!(tail.ids(left.len() - seen - 1).await, left[seen + 1..]);
        tail.expect_silence(100).await;
    }
}

/// A reader of the existing entries misses nothing.
async fn a_trimmed_stream_starts_without_a_gap(f: Fixture) {
    let key = f.key();
    let (_, left) = trimmed_stream(&f, &key).await;
    for from in [TailFrom::Beginning, TailFrom::Last(1_000)] {
        let mut tail = Reader::open(&f, &key, from).await;
        assert_eq!(tail.ids(left.len()).await, left);
    }
}

/// The position of an empty stream is before every entry.
async fn resuming_from_an_empty_stream_reports_entries_trimmed_since(f: Fixture) {
    let key = f.key();
    let empty = Reader::open(&f, &key, TailFrom::Now)
        .await
        .position()
        .to_owned();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::After(empty.clone())).await;
    assert_eq!(tail.ids(3).await, added);
    let key = f.key();
    let (_, left) = trimmed_stream(&f, &key).await;
    let mut tail = Reader::open(&f, &key, TailFrom::After(empty.clone())).await;
    expect_gap(&tail.gap().await, &empty, &left[0]);
    assert_eq!(tail.ids(left.len()).await, left);
}

/// As after a restart without persistence.
async fn resuming_in_a_missing_stream_reports_it_as_recreated(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::After("100-1".to_owned())).await;
    let gap = Gap::new("100-1", "0-0").reason(GapReason::Recreated);
    assert_eq!(tail.gap().await, gap);
    tail.expect_silence(100).await;
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    assert_eq!(tail.ids(2).await, added);
}

/// Returned entries are consecutive or have a gap between them.
async fn entries_trimmed_while_a_tail_is_not_polled_are_reported(f: Fixture) {
    let key = f.key();
    let mut added = f.add_in_sequence(&key, 2).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::After(added[0].clone())).await;
    // Far more than any buffer holds for the tail.
    let long = "x".repeat(20_000);
    for i in 0..1_500 {
        let maxlen = (i % 10 == 9).then_some(100);
        let fields = pairs(&[("value", &long)]);
        added.push(f.backend.stream_add(&key, fields, maxlen).await.unwrap());
    }
    let received = tail.read_until(&added[added.len() - 1]).await;
    let mut at = 0;
    let mut missing = false;
    for item in received {
        match item {
            Received::Gap(gap) => {
                assert_eq!(gap.after, added[at]);
                missing = true;
            }
            Received::Entry((id, _)) => {
                let place = added.iter().position(|added| *added == id).unwrap();
                assert!(
                    missing || place == at + 1,
                    "{} entries are missing",
                    place - at - 1
                );
                missing = false;
                at = place;
            }
        }
    }
    let read = f.read(&key, "0").await.unwrap();
    assert!(read.len() < 1_000, "the stream was not trimmed");
}

/// Each add trims entries that the tail has read.
async fn a_tail_that_keeps_up_reports_no_gap(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    for i in 0..400 {
        let fields = pairs(&[("value", "x")]);
        let id = f.backend.stream_add(&key, fields, Some(1)).await.unwrap();
        assert_eq!(tail.ids(1).await, [id], "entry {i}");
    }
}

/// The reader has read what is trimmed, although this tail has not.
async fn a_tail_that_resumes_at_the_end_and_keeps_up_reports_no_gap(f: Fixture) {
    let key = f.key();
    let add = async || {
        f.backend
            .stream_add(&key, pairs(&[("value", "x")]), Some(1))
            .await
            .unwrap()
    };
    let mut last = add().await;
    for _ in 0..5 {
        let mut tail = Reader::open(&f, &key, TailFrom::After(last)).await;
        last = String::new();
        for i in 0..150 {
            last = add().await;
            assert_eq!(tail.ids(1).await, [&*last], "entry {i}");
        }
    }
}

/// New entries follow without a second gap.
async fn a_gap_up_to_the_end_names_no_next_entry(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 5).await.unwrap();
    let trimmed: u64 = redis
        .send(&[b"XTRIM", key.as_bytes(), b"MAXLEN", b"0"])
        .await
        .unwrap();
    assert_eq!(trimmed, 5);
    let mut tail = Reader::open(&f, &key, TailFrom::After(added[1].clone())).await;
    let gap = tail.gap().await;
    assert_eq!(
        (&gap.after, &gap.first, gap.reason),
        (&added[1], &None, GapReason::Trimmed)
    );
    tail.expect_silence(100).await;
    let mut resumed = Reader::open(&f, &key, TailFrom::After(gap.position)).await;
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [&*id]);
    assert_eq!(resumed.ids(1).await, [&*id]);
}

/// The tail continues with the next entry.
async fn trimming_a_stream_that_was_read_to_its_end_reports_no_gap(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 5).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(5).await, added);
    let _: u64 = redis
        .send(&[b"XTRIM", key.as_bytes(), b"MAXLEN", b"0"])
        .await
        .unwrap();
    tail.expect_silence(200).await;
    let mut resumed = Reader::open(&f, &key, TailFrom::After(added[4].clone())).await;
    resumed.expect_silence(100).await;
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [&*id]);
    assert_eq!(resumed.ids(1).await, [&*id]);
}

/// Trimming removes the oldest entries first, so nothing was trimmed.
async fn resuming_at_a_deleted_entry_reports_no_gap_while_older_ones_exist(
    f: Fixture,
    redis: DirectRedis,
) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 5).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::After(added[2].clone())).await;
    assert_eq!(tail.ids(2).await, added[3..]);
    let deleted: u64 = redis
        .send(&[
            b"XDEL",
            key.as_bytes(),
            added[1].as_bytes(),
            added[2].as_bytes(),
        ])
        .await
        .unwrap();
    assert_eq!(deleted, 2);
    let mut tail = Reader::open(&f, &key, TailFrom::After(added[2].clone())).await;
    assert_eq!(tail.ids(2).await, added[3..]);
}

/// No id fits in between.
async fn resuming_right_before_the_first_entry_reports_no_gap(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    for id in ["5-2", "6-0"] {
        let _: String = redis
            .send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"])
            .await
            .unwrap();
    }
    let mut tail = Reader::open(&f, &key, TailFrom::After("5-1".to_owned())).await;
    assert_eq!(tail.ids(2).await, ["5-2", "6-0"]);
}

/// No other entry can be missing.
async fn resuming_at_the_only_entry_that_was_ever_removed_reports_no_gap(
    f: Fixture,
    redis: DirectRedis,
) {
    let key = f.key();
    let first = f.add(&key, "first").await.unwrap();
    let _: u64 = redis
        .send(&[b"XDEL", key.as_bytes(), first.as_bytes()])
        .await
        .unwrap();
    let id = f.add(&key, "next").await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::After(first.clone())).await;
    assert_eq!(tail.ids(1).await, [&*id]);
    let _: u64 = redis
        .send(&[b"XTRIM", key.as_bytes(), b"MAXLEN", b"0"])
        .await
        .unwrap();
    let mut resumed = Reader::open(&f, &key, TailFrom::After(first.clone())).await;
    assert_eq!(resumed.gap().await, Gap::new(first, id));
}
