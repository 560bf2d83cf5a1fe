//! Tails: where they start.

use futures_util::future::join_all;
use streamgate_protocol::TailFrom;

use crate::fixture::{Fixture, parts};
use crate::reader::Reader;

cases![
    now_returns_entries_added_after_the_first_poll,
    now_returns_no_entry_added_before_the_first_poll,
    the_first_item_reports_the_position,
    after_an_id_returns_later_entries,
    ms_alone_means_sequence_0,
    after_the_last_id_returns_new_entries,
    last_n_returns_the_oldest_first,
    last_n_beyond_the_length_returns_all_entries,
    last_0_returns_new_entries_only,
    last_n_may_exceed_a_page,
];

/// Not only those added after its first item.
async fn now_returns_entries_added_after_the_first_poll(f: Fixture) {
    for existing in [0, 3].repeat(10) {
        let key = f.key();
        f.add_in_sequence(&key, existing).await.unwrap();
        let mut tail = Reader::started(&f, &key, TailFrom::Now);
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(tail.ids(1).await, [id]);
    }
}

/// The adds are in flight when the tail starts.
async fn now_returns_no_entry_added_before_the_first_poll(f: Fixture) {
    let key = f.key();
    for _ in 0..20 {
        let adds = join_all((0..5).map(|_| f.add(&key, "old")));
        let (old, mut tail) =
            futures_util::future::join(adds, async { Reader::started(&f, &key, TailFrom::Now) })
                .await;
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(tail.ids(1).await, [id], "old: {old:?}");
    }
}

/// It has no entries if there are none, or none yet.
async fn the_first_item_reports_the_position(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut now = Reader::open(&f, &key, TailFrom::Now).await;
    assert_eq!(now.position(), added[2]);
    now.expect_silence(100).await;
    let id = f.add(&key, "new").await.unwrap();
    let mut resumed = Reader::open(&f, &key, TailFrom::After(added[2].clone())).await;
    // The first item may precede the new entry if the socket was busy.
    let position = resumed.position().to_owned();
    assert!(
        [&added[2], &id].contains(&&position),
        "its position was {position}"
    );
    assert_eq!(resumed.ids(1).await, [&*id]);
    assert_eq!(resumed.position(), id);
    assert_eq!(now.ids(1).await, [id]);
}

/// The id is exclusive.
async fn after_an_id_returns_later_entries(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 6).await.unwrap();
    for (i, id) in added.iter().enumerate().take(5) {
        let mut tail = Reader::open(&f, &key, TailFrom::After(id.clone())).await;
        assert_eq!(tail.ids(5 - i).await, added[i + 1..]);
        tail.expect_silence(20).await;
    }
}

/// `0` is below every id.
async fn ms_alone_means_sequence_0(f: Fixture) {
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

/// As `Now` does.
async fn after_the_last_id_returns_new_entries(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::After(added[2].clone())).await;
    assert_eq!(tail.position(), added[2]);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}

/// And then new entries.
async fn last_n_returns_the_oldest_first(f: Fixture) {
    let key = f.key();
    let mut added = f.add_in_sequence(&key, 20).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Last(5)).await;
    added.push(f.add(&key, "new").await.unwrap());
    assert_eq!(tail.ids(6).await, added[15..]);
    tail.expect_silence(100).await;
}

async fn last_n_beyond_the_length_returns_all_entries(f: Fixture) {
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

/// As `Now` does.
async fn last_0_returns_new_entries_only(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Last(0)).await;
    assert_eq!(tail.position(), added[2]);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}

async fn last_n_may_exceed_a_page(f: Fixture) {
    let key = f.key();
    let added = f.add_concurrently(&key, 2_500).await.unwrap();
    let mut tail = Reader::open(&f, &key, TailFrom::Last(2_000)).await;
    assert_eq!(tail.ids(2_000).await, added[500..]);
}
