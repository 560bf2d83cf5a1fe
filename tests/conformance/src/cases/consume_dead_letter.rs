//! Dead letters: entries that were delivered too often are moved to a stream of their own.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use streamgate_protocol::limits::MAX_NAME_BYTES;
use streamgate_protocol::subscribe::{DEAD_LETTER_FIELDS, DEAD_LETTER_REASON};
use streamgate_protocol::{ConsumeOptions, Deliveries, StreamEntry};

use super::claim::all_pending_for_ann;
use super::consume::{next_batch, stream_with_group};
use super::consume_claim::next_ids_sorted;
use super::pending::{all_pending, summary};
use crate::fixture::{DirectRedis, Fixture, LONG_WAIT, code, ids, pairs, parts};

cases![
    an_entry_delivered_too_often_becomes_a_dead_letter,
    a_dead_letter_keeps_the_fields,
    entries_below_the_limit_are_delivered,
    an_entry_that_no_consumer_acknowledges_becomes_a_dead_letter,
    hundreds_of_dead_letters_are_written_once_each,
    an_overlong_dead_letter_stream_is_rejected,
    ;
    needs_redis:
    a_dead_letter_key_of_another_type_ends_the_consumer,
    deleted_entries_do_not_become_dead_letters,
    a_dead_letter_keeps_bytes_that_are_not_utf_8,
    an_entry_with_too_many_fields_becomes_a_dead_letter_without_them,
];

/// The most fields that a dead letter copies from its entry; see SPEC.md.
const MAX_COPIED_FIELDS: usize = 3_500;

/// Consumes from `group` and moves entries to `dead` after `max_deliveries` deliveries.
fn consume_with_dead_letters(
    f: &Fixture,
    [key, dead]: [&str; 2],
    consumer: &str,
    max_deliveries: u64,
) -> Deliveries {
    let options = ConsumeOptions::default()
        .claim_after_ms(20)
        .dead_letter(dead, max_deliveries);
    f.backend.consume(key, "group", consumer, options)
}

/// The first `n` dead letters, while the consumer is polled. It must receive no entry.
async fn next_dead_letters(
    f: &Fixture,
    dead: &str,
    deliveries: &mut Deliveries,
    n: usize,
) -> Vec<StreamEntry> {
    let read = async {
        let mut all = Vec::new();
        while all.len() < n {
            let last = all
                .last()
                .map_or("0", |(id, _): &StreamEntry| id)
                .to_owned();
            let more = f
                .backend
                .stream_read(dead, &last, n, LONG_WAIT)
                .await
                .unwrap();
            assert!(!more.is_empty(), "only {} dead letters came", all.len());
            all.extend(more);
        }
        all
    };
    tokio::select! {
        all = read => all,
        received = deliveries.next() => panic!("the consumer received {received:?}"),
    }
}

/// The fields that state why and where an entry became a dead letter.
fn reason_fields(values: [&str; 6]) -> Vec<(String, String)> {
    let fields = DEAD_LETTER_FIELDS.into_iter().zip(values);
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The dead letter states the reason, and the entry is no longer pending.
async fn an_entry_delivered_too_often_becomes_a_dead_letter(f: Fixture) {
    let ((key, ids), dead) = (all_pending_for_ann(&f, 1).await, f.key());
    let mut deliveries = consume_with_dead_letters(&f, [&key, &dead], "bob", 1);
    let dead_letters = next_dead_letters(&f, &dead, &mut deliveries, 1).await;
    let mut expected = pairs(&[("value", "0")]);
    expected.extend(reason_fields([
        DEAD_LETTER_REASON,
        &key,
        "group",
        "ann",
        &ids[0],
        "1",
    ]));
    assert_eq!(dead_letters[0].1, expected);
    assert_eq!(summary(&f, &key).await.count, 0);
    assert_eq!(
        f.read(&key, "0").await.unwrap().len(),
        1,
        "the entry stays in its stream"
    );
}

/// In their order, with repeated names, and names that equal those of the reason.
async fn a_dead_letter_keeps_the_fields(f: Fixture) {
    let (key, dead) = (stream_with_group(&f).await, f.key());
    let fields = pairs(&[
        ("b", "1"),
        ("a", "é\0\n"),
        ("b", ""),
        ("", "x"),
        ("dead-letter-id", ""),
    ]);
    f.backend
        .stream_add(&key, fields.clone(), None)
        .await
        .unwrap();
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let mut deliveries = consume_with_dead_letters(&f, [&key, &dead], "bob", 1);
    let dead_letters = next_dead_letters(&f, &dead, &mut deliveries, 1).await;
    let (own, reason) = dead_letters[0].1.split_at(fields.len());
    assert_eq!(own, fields);
    assert_eq!(
        reason.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        DEAD_LETTER_FIELDS.each_ref()
    );
}

/// To the consumer that reclaims them.
async fn entries_below_the_limit_are_delivered(f: Fixture) {
    let ((key, ids), dead) = (all_pending_for_ann(&f, 3).await, f.key());
    f.backend
        .claim(&key, "group", "zoe", 0, &ids[1], 1)
        .await
        .unwrap();
    let mut deliveries = consume_with_dead_letters(&f, [&key, &dead], "bob", 2);
    assert_eq!(
        next_ids_sorted(&mut deliveries, 2).await,
        [&*ids[0], &*ids[2]]
    );
    let dead_letters = next_dead_letters(&f, &dead, &mut deliveries, 1).await;
    assert_eq!(
        dead_letters[0].1[1..],
        reason_fields([DEAD_LETTER_REASON, &key, "group", "zoe", &ids[1], "2"])
    );
    let expected = [&ids[0], &ids[2]].map(|id| (id.clone(), "bob".to_owned(), 2));
    assert_eq!(all_pending(&f, &key).await, expected);
}

/// After `max_deliveries` deliveries.
async fn an_entry_that_no_consumer_acknowledges_becomes_a_dead_letter(f: Fixture) {
    let (key, dead) = (stream_with_group(&f).await, f.key());
    let id = f.add(&key, "poison").await.unwrap();
    for i in 0..3 {
        let mut deliveries =
            consume_with_dead_letters(&f, [&key, &dead], &format!("consumer{i}"), 3);
        assert_eq!(ids(&next_batch(&mut deliveries).await), [&id]);
    }
    assert_eq!(f.read(&dead, "0").await.unwrap(), []);
    let mut deliveries = consume_with_dead_letters(&f, [&key, &dead], "last", 3);
    let dead_letters = next_dead_letters(&f, &dead, &mut deliveries, 1).await;
    let expected = reason_fields([DEAD_LETTER_REASON, &key, "group", "consumer2", &id, "3"]);
    assert_eq!(dead_letters[0].1[1..], expected);
    assert_eq!(summary(&f, &key).await.count, 0);
}

/// Entries that become idle during a pass over the group may be written first.
async fn hundreds_of_dead_letters_are_written_once_each(f: Fixture) {
    let ((key, ids), dead) = (all_pending_for_ann(&f, 350).await, f.key());
    let mut deliveries = consume_with_dead_letters(&f, [&key, &dead], "bob", 1);
    let dead_letters = next_dead_letters(&f, &dead, &mut deliveries, 350).await;
    let mut of: Vec<_> = dead_letters
        .iter()
        .map(|(_, fields)| &fields[5].1)
        .collect();
    of.sort_by_key(|id| parts(id));
    assert_eq!(of, ids.iter().collect::<Vec<_>>());
    assert_eq!(summary(&f, &key).await.count, 0);
    assert_eq!(f.read(&dead, "0").await.unwrap().len(), 350);
}

/// Only other programs add so many fields, which can be read in the entry's stream. With one field
/// less, the dead letter has them.
async fn an_entry_with_too_many_fields_becomes_a_dead_letter_without_them(
    f: Fixture,
    redis: DirectRedis,
) {
    let (key, dead) = (stream_with_group(&f).await, f.key());
    for n in [MAX_COPIED_FIELDS, MAX_COPIED_FIELDS + 1] {
        let names: Vec<_> = (0..n).map(|i| i.to_string()).collect();
        let mut words: Vec<&[u8]> = vec![b"XADD", key.as_bytes(), b"*"];
        words.extend(names.iter().flat_map(|name| [name.as_bytes(), b""]));
        redis.send::<String>(&words).await.unwrap();
    }
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let mut deliveries = consume_with_dead_letters(&f, [&key, &dead], "bob", 1);
    let dead_letters = next_dead_letters(&f, &dead, &mut deliveries, 2).await;
    let lengths: Vec<_> = dead_letters
        .iter()
        .map(|(_, fields)| fields.len())
        .collect();
    assert_eq!(lengths, [MAX_COPIED_FIELDS + 6, 6]);
}

/// `LIMIT`, as for any name.
async fn an_overlong_dead_letter_stream_is_rejected(f: Fixture) {
    let key = stream_with_group(&f).await;
    let mut deliveries =
        consume_with_dead_letters(&f, [&key, &"d".repeat(MAX_NAME_BYTES + 1)], "bob", 1);
    assert_eq!(code(&deliveries.next().await.unwrap()), "LIMIT");
}

/// `WRONGTYPE`. All entries stay pending.
async fn a_dead_letter_key_of_another_type_ends_the_consumer(f: Fixture, redis: DirectRedis) {
    let ((key, ids), dead) = (all_pending_for_ann(&f, 2).await, f.key());
    let _: () = redis
        .send(&[b"SET", dead.as_bytes(), b"text"])
        .await
        .unwrap();
    let mut deliveries = consume_with_dead_letters(&f, [&key, &dead], "bob", 1);
    assert_eq!(code(&deliveries.next().await.unwrap()), "WRONGTYPE");
    assert!(deliveries.next().await.is_none());
    let expected: Vec<_> = ids
        .into_iter()
        .map(|id| (id, "ann".to_owned(), 1))
        .collect();
    assert_eq!(all_pending(&f, &key).await, expected);
}

async fn deleted_entries_do_not_become_dead_letters(f: Fixture, redis: DirectRedis) {
    let ((key, ids), dead) = (all_pending_for_ann(&f, 2).await, f.key());
    let _: u64 = redis
        .send(&[b"XDEL", key.as_bytes(), ids[0].as_bytes()])
        .await
        .unwrap();
    let mut deliveries = consume_with_dead_letters(&f, [&key, &dead], "bob", 1);
    let dead_letters = next_dead_letters(&f, &dead, &mut deliveries, 1).await;
    assert_eq!(dead_letters[0].1[5].1, ids[1]);
    assert_eq!(summary(&f, &key).await.count, 0);
    assert_eq!(f.read(&dead, "0").await.unwrap().len(), 1);
}

/// In Redis, although readers see U+FFFD.
async fn a_dead_letter_keeps_bytes_that_are_not_utf_8(f: Fixture, redis: DirectRedis) {
    let (key, dead) = (stream_with_group(&f).await, f.key());
    let words: &[&[u8]] = &[b"XADD", key.as_bytes(), b"*", b"\xff\x00", b"\xc3("];
    let _: String = redis.send(words).await.unwrap();
    f.read_group_now(&key, "group", "ann").await.unwrap();
    let mut deliveries = consume_with_dead_letters(&f, [&key, &dead], "bob", 1);
    next_dead_letters(&f, &dead, &mut deliveries, 1).await;
    let words: &[&[u8]] = &[b"XRANGE", dead.as_bytes(), b"-", b"+"];
    let found: Vec<(String, Vec<Vec<u8>>)> = redis.send(words).await.unwrap();
    assert_eq!(found[0].1[..2], [b"\xff\x00".to_vec(), b"\xc3(".to_vec()]);
    let fields: HashMap<_, _> = found[0].1.chunks(2).map(|p| (&p[0], &p[1])).collect();
    assert_eq!(
        fields[&b"dead-letter-reason".to_vec()],
        DEAD_LETTER_REASON.as_bytes()
    );
}
