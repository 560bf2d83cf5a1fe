//! Tails: existing entries, then new ones.

use futures_util::future::{join, join_all};
use streamgate_protocol::TailFrom;

use crate::fixture::{DirectRedis, Fixture, pairs};
use crate::reader::Reader;

cases![
    existing_entries_come_first_and_then_new_ones,
    a_missing_stream_reads_as_empty,
    creating_a_group_returns_nothing,
    entries_keep_their_fields,
    a_long_backlog_is_complete,
    a_tail_can_resume_from_each_of_its_positions,
    all_tails_of_a_stream_return_the_same_entries,
    tails_of_different_streams_are_independent,
    a_tail_removes_nothing,
    ;
    heavy:
    long_entries_are_complete,
    ;
    needs_redis:
    entries_added_directly_to_redis_are_returned,
    an_entry_deleted_before_it_was_read_is_skipped,
    deleting_each_entry_after_it_was_read_is_no_gap,
];

async fn existing_entries_come_first_and_then_new_ones(f: Fixture) {
    let key = f.key();
    let existing = f.add_in_sequence(&key, 5).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(5).await, existing);
    for _ in 0..20 {
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(tail.ids(1).await, [id]);
    }
    tail.expect_silence(200).await;
}

/// From any start. The tail continues once the stream is created.
async fn a_missing_stream_reads_as_empty(f: Fixture) {
    let after = TailFrom::After("0-0".to_owned());
    for from in [
        TailFrom::Beginning,
        TailFrom::Now,
        TailFrom::Last(5),
        TailFrom::Last(0),
        after,
    ] {
        let key = f.key();
        let mut tail = Reader::open(&f, &key, from).await;
        assert_eq!(tail.position(), "0-0");
        assert_eq!(
            f.read(&key, "0").await.unwrap(),
            [],
            "a tail creates no stream"
        );
        let added = f.add_in_sequence(&key, 2).await.unwrap();
        assert_eq!(tail.ids(2).await, added);
    }
}

/// `XGROUP CREATE … MKSTREAM` changes the key but adds no entry.
async fn creating_a_group_returns_nothing(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    tail.expect_silence(200).await;
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}

/// In their order, with repeated names.
async fn entries_keep_their_fields(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    for fields in [
        pairs(&[("b", "1"), ("a", "2"), ("b", "é\0")]),
        pairs(&[("", "")]),
    ] {
        let id = f
            .backend
            .stream_add(&key, fields.clone(), None)
            .await
            .unwrap();
        assert_eq!(tail.entry().await, (id, fields));
    }
}

/// Entries much longer than a page, new ones and existing ones.
async fn long_entries_are_complete(f: Fixture) {
    let key = f.key();
    let value = |i: usize| i.to_string().repeat(400_000);
    let mut live = Reader::open(&f, &key, TailFrom::Now).await;
    for i in 0..6 {
        f.add(&key, &value(i)).await.unwrap();
    }
    let mut late = Reader::open(&f, &key, TailFrom::Beginning).await;
    for i in 0..6 {
        for tail in [&mut live, &mut late] {
            let (_, fields) = tail.entry().await;
            assert!(fields[0].1 == value(i), "entry {i}");
        }
    }
}

/// It needs many pages.
async fn a_long_backlog_is_complete(f: Fixture) {
    let key = f.key();
    let added = f.add_concurrently(&key, 3_000).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(3_000).await, added);
    tail.expect_silence(100).await;
}

/// Also from the position of an item without entries.
async fn a_tail_can_resume_from_each_of_its_positions(f: Fixture) {
    let key = f.key();
    let mut added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut positions = Vec::new();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    for seen in 3..9 {
        positions.push((seen, tail.position().to_owned()));
        added.push(f.add(&key, "new").await.unwrap());
        tail.entry().await;
    }
    drop(tail);
    for (seen, position) in positions {
        let rest = &added[seen..];
        let mut tail = Reader::open(&f, &key, TailFrom::After(position)).await;
        assert_eq!(tail.ids(rest.len()).await, rest);
    }
}

async fn all_tails_of_a_stream_return_the_same_entries(f: Fixture) {
    let key = f.key();
    let tails = join_all((0..50).map(|_| Reader::open(&f, &key, TailFrom::Now))).await;
    let read = join_all(
        tails
            .into_iter()
            .map(|mut tail| async move { tail.ids(200).await }),
    );
    let (read, added) = join(read, f.add_in_sequence(&key, 200)).await;
    let added = added.unwrap();
    assert!(read.iter().all(|read| *read == added));
}

/// Even if one key is a prefix of the other.
async fn tails_of_different_streams_are_independent(f: Fixture) {
    let key = f.key();
    let other = format!("{key}:more");
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    let mut other_tail = Reader::open(&f, &other, TailFrom::Beginning).await;
    let from_other = f.add_in_sequence(&other, 3).await.unwrap();
    tail.expect_silence(200).await;
    let own = f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(tail.ids(3).await, own);
    assert_eq!(other_tail.ids(3).await, from_other);
    other_tail.expect_silence(100).await;
}

/// Readers and groups still receive every entry.
async fn a_tail_removes_nothing(f: Fixture) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    assert_eq!(tail.ids(10).await, added);
    assert_eq!(f.read(&key, "0").await.unwrap().len(), 10);
    assert_eq!(
        f.read_group_now(&key, "group", "consumer")
            .await
            .unwrap()
            .len(),
        10
    );
}

/// One by one, or many by one script.
async fn entries_added_directly_to_redis_are_returned(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    for id in ["5-1", "5-2", "7-0"] {
        let _: String = redis
            .send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"])
            .await
            .unwrap();
        assert_eq!(tail.ids(1).await, [id]);
    }
    let script = b"for i = 1, 50 do redis.call('XADD', KEYS[1], '9-' .. i, 'a', '1') end";
    let _: () = redis
        .send(&[b"EVAL", script, b"1", key.as_bytes()])
        .await
        .unwrap();
    let expected: Vec<_> = (1..=50).map(|i| format!("9-{i}")).collect();
    assert_eq!(tail.ids(50).await, expected);
}

/// There is no gap as long as an older entry exists.
async fn an_entry_deleted_before_it_was_read_is_skipped(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 5).await.unwrap();
    let deleted: u64 = redis
        .send(&[b"XDEL", key.as_bytes(), added[2].as_bytes()])
        .await
        .unwrap();
    assert_eq!(deleted, 1);
    let mut tail = Reader::open(&f, &key, TailFrom::After(added[0].clone())).await;
    assert_eq!(
        tail.ids(3).await,
        [&added[1], &added[3], &added[4]].map(Clone::clone)
    );
}

/// The tail has missed nothing.
async fn deleting_each_entry_after_it_was_read_is_no_gap(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    for _ in 0..50 {
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(tail.ids(1).await, [&*id]);
        let deleted: u64 = redis
            .send(&[b"XDEL", key.as_bytes(), id.as_bytes()])
            .await
            .unwrap();
        assert_eq!(deleted, 1);
    }
    tail.expect_silence(100).await;
}
