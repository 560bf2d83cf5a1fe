//! Tails: where they start.

use futures_util::future::join_all;
use streamgate_protocol::TailFrom;

use crate::fixture::{Fixture, parts};
use crate::reader::Reader;

cases![
    now_gives_what_is_added_once_it_was_asked,
    now_gives_nothing_that_was_added_before,
    the_first_item_says_where_a_tail_stands,
    behind_an_id_comes_what_was_added_after_it,
    an_id_without_a_sequence_number_is_its_first,
    behind_the_last_id_comes_what_is_added,
    the_last_entries_come_oldest_first,
    the_last_of_fewer_are_all,
    the_last_0_are_none,
    the_last_of_a_long_stream_come_whole,
];

/// Not from its first item on: from its first poll on.
async fn now_gives_what_is_added_once_it_was_asked(f: Fixture) {
    for there in [0, 3].repeat(10) {
        let key = f.key();
        f.add_in_sequence(&key, there).await.unwrap();
        let mut tail = Reader::started(&f, &key, TailFrom::Now);
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(tail.ids(1).await, [id]);
    }
}

/// Asked right behind them.
async fn now_gives_nothing_that_was_added_before(f: Fixture) {
    let key = f.key();
    for _ in 0..20 {
        let adds = join_all((0..5).map(|_| f.add(&key, "old")));
        let (old, mut tail) = futures_util::future::join(adds, async {
            Reader::started(&f, &key, TailFrom::Now)
        })
        .await;
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(tail.ids(1).await, [id], "old: {old:?}");
    }
}

/// Without entries, if there are none or if those there are have to wait.
async fn the_first_item_says_where_a_tail_stands(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut now = Reader::open(&f, &key, TailFrom::Now).await;
    assert_eq!(now.position(), added[2]);
    now.expect_silence(100).await;
    let id = f.add(&key, "new").await.unwrap();
    let mut resumed = Reader::open(&f, &key, TailFrom::After(added[2].clone())).await;
    // Where it began, if others have filled its socket.
    let stood = resumed.position().to_owned();
    assert!([&added[2], &id].contains(&&stood), "it stood at {stood}");
    assert_eq!(resumed.ids(1).await, [&*id]);
    assert_eq!(resumed.position(), id);
    assert_eq!(now.ids(1).await, [id]);
}

/// Not that entry itself.
async fn behind_an_id_comes_what_was_added_after_it(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 6).await.unwrap();
    for (i, id) in added.iter().enumerate().take(5) {
        let mut tail = Reader::open(&f, &key, TailFrom::After(id.clone())).await;
        assert_eq!(tail.ids(5 - i).await, added[i + 1..]);
        tail.expect_silence(20).await;
    }
}

/// `0` is before all.
async fn an_id_without_a_sequence_number_is_its_first(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::After("0".to_owned())).await;
    assert_eq!(tail.ids(3).await, added);
    let key = f.key();
    let id = f.add(&key, "first").await.unwrap();
    assert_eq!(parts(&id).1, 0, "the first of its millisecond");
    let mut tail = Reader::open(&f, &key, TailFrom::After(parts(&id).0.to_string())).await;
    assert_eq!(tail.position(), id);
    let next = f.add(&key, "next").await.unwrap();
    assert_eq!(tail.ids(1).await, [next]);
}

/// As `now`, by its name.
async fn behind_the_last_id_comes_what_is_added(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::After(added[2].clone())).await;
    assert_eq!(tail.position(), added[2]);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}

/// Then what is added.
async fn the_last_entries_come_oldest_first(f: Fixture) {
    let key = f.key();
    let mut added = f.add_in_sequence(&key, 20).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Last(5)).await;
    added.push(f.add(&key, "new").await.unwrap());
    assert_eq!(tail.ids(6).await, added[15..]);
    tail.expect_silence(100).await;
}

/// More than there are is no error.
async fn the_last_of_fewer_are_all(f: Fixture) {
    let key = f.key();
    let mut added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut tails = Vec::new();
    for count in [3, 4, 1_000_000] {
        tails.push(Reader::open(&f, &key, TailFrom::Last(count)).await);
    }
    added.push(f.add(&key, "new").await.unwrap());
    for mut tail in tails {
        assert_eq!(tail.ids(4).await, added);
    }
}

/// As `now`.
async fn the_last_0_are_none(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Last(0)).await;
    assert_eq!(tail.position(), added[2]);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}

/// More than any batch.
async fn the_last_of_a_long_stream_come_whole(f: Fixture) {
    let key = f.key();
    let added = f.add_concurrently(&key, 2_500).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Last(2_000)).await;
    assert_eq!(tail.ids(2_000).await, added[500..]);
}
