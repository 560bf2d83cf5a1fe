//! Entries that were delivered too often, and the stream that takes them.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use streamgate_protocol::limits::MAX_NAME_BYTES;
use streamgate_protocol::subscribe::{DEAD_LETTER_FIELDS, DEAD_LETTER_REASON};
use streamgate_protocol::{ConsumeOptions, Deliveries, StreamEntry};

use super::claim::held_by_ann;
use super::consume::{group, next};
use super::consume_claim::sorted;
use super::pending::{held, summary};
use crate::fixture::{Fixture, LONG_WAIT, DirectRedis, code, ids, pairs, parts};

cases![
    what_was_delivered_too_often_goes_there,
    its_fields_come_unchanged,
    what_was_delivered_less_often_comes,
    an_entry_that_everybody_fails_at_ends_there,
    many_go_there,
    an_entry_of_very_many_fields_goes_there_without_them,
    a_name_that_is_too_long_is_refused,
    ;
    needs_redis:
    a_key_that_is_no_stream_ends_it_and_nothing_is_lost,
    what_was_deleted_does_not_go_there,
    bytes_that_are_not_text_go_there_unchanged,
];

/// Fields of an entry that goes to a dead-letter stream with them, at most, as SPEC.md says.
const MOST_FIELDS: usize = 3_500;

/// Gives up after so many deliveries.
fn consume(f: &Fixture, [key, dead]: [&str; 2], consumer: &str, most: u64) -> Deliveries {
    let options = ConsumeOptions::default().claim_after_ms(20).dead_letter(dead, most);
    f.backend.consume(key, "group", consumer, options)
}

/// The next so many dead letters, while the consumer, who is given nothing, is polled.
async fn letters(
    f: &Fixture,
    dead: &str,
    deliveries: &mut Deliveries,
    n: usize,
) -> Vec<StreamEntry> {
    let read = async {
        let mut all = Vec::new();
        while all.len() < n {
            let last = all.last().map_or("0", |(id, _): &StreamEntry| id).to_owned();
            let more = f.backend.stream_read(dead, &last, n, LONG_WAIT).await.unwrap();
            assert!(!more.is_empty(), "only {} came", all.len());
            all.extend(more);
        }
        all
    };
    tokio::select! {
        all = read => all,
        given = deliveries.next() => panic!("it was given {given:?}"),
    }
}

fn added(values: [&str; 6]) -> Vec<(String, String)> {
    let fields = DEAD_LETTER_FIELDS.into_iter().zip(values);
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// With the reason, and is not pending any more.
async fn what_was_delivered_too_often_goes_there(f: Fixture) {
    let ((key, ids), dead) = (held_by_ann(&f, 1).await, f.key());
    let mut deliveries = consume(&f, [&key, &dead], "bob", 1);
    let letters = letters(&f, &dead, &mut deliveries, 1).await;
    let mut expected = pairs(&[("value", "0")]);
    expected.extend(added([DEAD_LETTER_REASON, &key, "group", "ann", &ids[0], "1"]));
    assert_eq!(letters[0].1, expected);
    assert_eq!(summary(&f, &key).await.count, 0);
    assert_eq!(f.read(&key, "0").await.unwrap().len(), 1, "it stays in its stream");
}

/// In their order, with names that repeat, and names that are those of the reason.
async fn its_fields_come_unchanged(f: Fixture) {
    let (key, dead) = (group(&f).await, f.key());
    let fields = pairs(&[("b", "1"), ("a", "é\0\n"), ("b", ""), ("", "x"), ("dead-letter-id", "")]);
    f.backend.stream_add(&key, fields.clone(), None).await.unwrap();
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let mut deliveries = consume(&f, [&key, &dead], "bob", 1);
    let letters = letters(&f, &dead, &mut deliveries, 1).await;
    let (own, said) = letters[0].1.split_at(fields.len());
    assert_eq!(own, fields);
    assert_eq!(said.iter().map(|(name, _)| name).collect::<Vec<_>>(), DEAD_LETTER_FIELDS.each_ref());
}

/// To whoever takes it over.
async fn what_was_delivered_less_often_comes(f: Fixture) {
    let ((key, ids), dead) = (held_by_ann(&f, 3).await, f.key());
    f.backend.claim(&key, "group", "zoe", 0, &ids[1], 1).await.unwrap();
    let mut deliveries = consume(&f, [&key, &dead], "bob", 2);
    assert_eq!(sorted(&mut deliveries, 2).await, [&*ids[0], &*ids[2]]);
    let letters = letters(&f, &dead, &mut deliveries, 1).await;
    assert_eq!(letters[0].1[1..], added([DEAD_LETTER_REASON, &key, "group", "zoe", &ids[1], "2"]));
    let expected = [&ids[0], &ids[2]].map(|id| (id.clone(), "bob".to_owned(), 2));
    assert_eq!(held(&f, &key).await, expected);
}

/// After as many as may try.
async fn an_entry_that_everybody_fails_at_ends_there(f: Fixture) {
    let (key, dead) = (group(&f).await, f.key());
    let id = f.add(&key, "poison").await.unwrap();
    for i in 0..3 {
        let mut deliveries = consume(&f, [&key, &dead], &format!("victim{i}"), 3);
        assert_eq!(ids(&next(&mut deliveries).await), [&id]);
    }
    assert_eq!(f.read(&dead, "0").await.unwrap(), []);
    let mut deliveries = consume(&f, [&key, &dead], "last", 3);
    let letters = letters(&f, &dead, &mut deliveries, 1).await;
    let expected = added([DEAD_LETTER_REASON, &key, "group", "victim2", &id, "3"]);
    assert_eq!(letters[0].1[1..], expected);
    assert_eq!(summary(&f, &key).await.count, 0);
}

/// Each once. Those whose time comes while the group is looked over go there first.
async fn many_go_there(f: Fixture) {
    let ((key, ids), dead) = (held_by_ann(&f, 350).await, f.key());
    let mut deliveries = consume(&f, [&key, &dead], "bob", 1);
    let letters = letters(&f, &dead, &mut deliveries, 350).await;
    let mut of: Vec<_> = letters.iter().map(|(_, fields)| &fields[5].1).collect();
    of.sort_by_key(|id| parts(id));
    assert_eq!(of, ids.iter().collect::<Vec<_>>());
    assert_eq!(summary(&f, &key).await.count, 0);
    assert_eq!(f.read(&dead, "0").await.unwrap().len(), 350);
}

/// They are to be read in its stream. One of a few less has them.
async fn an_entry_of_very_many_fields_goes_there_without_them(f: Fixture) {
    let (key, dead) = (group(&f).await, f.key());
    for n in [MOST_FIELDS, MOST_FIELDS + 1] {
        let fields = (0..n).map(|i| (i.to_string(), String::new())).collect();
        f.backend.stream_add(&key, fields, None).await.unwrap();
    }
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let mut deliveries = consume(&f, [&key, &dead], "bob", 1);
    let letters = letters(&f, &dead, &mut deliveries, 2).await;
    let lengths: Vec<_> = letters.iter().map(|(_, fields)| fields.len()).collect();
    assert_eq!(lengths, [MOST_FIELDS + 6, 6]);
}

/// As any.
async fn a_name_that_is_too_long_is_refused(f: Fixture) {
    let key = group(&f).await;
    let mut deliveries = consume(&f, [&key, &"d".repeat(MAX_NAME_BYTES + 1)], "bob", 1);
    assert_eq!(code(&deliveries.next().await.unwrap()), "LIMIT");
}

/// `WRONGTYPE`.
async fn a_key_that_is_no_stream_ends_it_and_nothing_is_lost(f: Fixture, redis: DirectRedis) {
    let ((key, ids), dead) = (held_by_ann(&f, 2).await, f.key());
    let _: () = redis.send(&[b"SET", dead.as_bytes(), b"text"]).await.unwrap();
    let mut deliveries = consume(&f, [&key, &dead], "bob", 1);
    assert_eq!(code(&deliveries.next().await.unwrap()), "WRONGTYPE");
    assert!(deliveries.next().await.is_none());
    let expected: Vec<_> = ids.into_iter().map(|id| (id, "ann".to_owned(), 1)).collect();
    assert_eq!(held(&f, &key).await, expected);
}

/// It is gone.
async fn what_was_deleted_does_not_go_there(f: Fixture, redis: DirectRedis) {
    let ((key, ids), dead) = (held_by_ann(&f, 2).await, f.key());
    let _: u64 = redis.send(&[b"XDEL", key.as_bytes(), ids[0].as_bytes()]).await.unwrap();
    let mut deliveries = consume(&f, [&key, &dead], "bob", 1);
    let letters = letters(&f, &dead, &mut deliveries, 1).await;
    assert_eq!(letters[0].1[5].1, ids[1]);
    assert_eq!(summary(&f, &key).await.count, 0);
    assert_eq!(f.read(&dead, "0").await.unwrap().len(), 1);
}

/// In Redis, whatever they are where they are read.
async fn bytes_that_are_not_text_go_there_unchanged(f: Fixture, redis: DirectRedis) {
    let (key, dead) = (group(&f).await, f.key());
    let words: &[&[u8]] = &[b"XADD", key.as_bytes(), b"*", b"\xff\x00", b"\xc3("];
    let _: String = redis.send(words).await.unwrap();
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let mut deliveries = consume(&f, [&key, &dead], "bob", 1);
    letters(&f, &dead, &mut deliveries, 1).await;
    let words: &[&[u8]] = &[b"XRANGE", dead.as_bytes(), b"-", b"+"];
    let found: Vec<(String, Vec<Vec<u8>>)> = redis.send(words).await.unwrap();
    assert_eq!(found[0].1[..2], [b"\xff\x00".to_vec(), b"\xc3(".to_vec()]);
    let reasons: HashMap<_, _> = found[0].1.chunks(2).map(|p| (&p[0], &p[1])).collect();
    assert_eq!(reasons[&b"dead-letter-reason".to_vec()], DEAD_LETTER_REASON.as_bytes());
}
