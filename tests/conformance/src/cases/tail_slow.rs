//! Tails that are not polled lose nothing and delay nobody.

use futures_util::future::join_all;
use streamgate_protocol::TailFrom;

use crate::fixture::{Fixture, LONG_WAIT};
use crate::reader::Reader;

cases![
    ;
    heavy:
    a_tail_that_is_not_polled_loses_nothing,
    a_tail_that_is_not_polled_does_not_delay_others,
    a_tail_that_is_not_polled_does_not_delay_its_client,
    many_tails_that_are_not_polled_lose_nothing,
    a_tail_that_falls_behind_many_times_loses_nothing,
];

/// Thousands of entries are added meanwhile.
async fn a_tail_that_is_not_polled_loses_nothing(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let added = f.add_concurrently(&key, 5_000).await.unwrap();
    assert_eq!(tail.ids(5_000).await, added);
    tail.expect_silence(100).await;
}

/// Of the same stream.
async fn a_tail_that_is_not_polled_does_not_delay_others(f: Fixture) {
    let key = f.key();
    let mut slow = Reader::open(&f, &key, TailFrom::Now).await;
    let mut quick = Reader::open(&f, &key, TailFrom::Now).await;
    let long = "x".repeat(10_000);
    let mut added = Vec::new();
    for _ in 0..1_000 {
        let id = f.add(&key, &long).await.unwrap();
        assert_eq!(quick.ids(1).await, [&*id]);
        added.push(id);
    }
    assert_eq!(slow.ids(1_000).await, added);
}

/// Neither adds nor reads nor tails of other streams.
async fn a_tail_that_is_not_polled_does_not_delay_its_client(f: Fixture) {
    let (key, other) = (f.key(), f.key());
    let mut slow = Reader::open(&f, &key, TailFrom::Now).await;
    let added = f.add_concurrently(&key, 3_000).await.unwrap();
    let mut quick = Reader::open(&f, &other, TailFrom::Now).await;
    for i in 0..20 {
        let wait = f.backend.stream_read(&other, "$", 1, LONG_WAIT);
        let (read, id) = futures_util::future::join(wait, f.add(&other, "new")).await;
        let id = id.unwrap();
        assert_eq!(read.unwrap()[0].0, id);
        assert_eq!(quick.ids(1).await, [id], "{i}");
    }
    assert_eq!(slow.ids(3_000).await, added);
}

async fn many_tails_that_are_not_polled_lose_nothing(f: Fixture) {
    let key = f.key();
    let tails = join_all((0..30).map(|_| Reader::open(&f, &key, TailFrom::Now))).await;
    let long = "x".repeat(2_000);
    let mut added = Vec::new();
    for _ in 0..10 {
        let adds = join_all((0..30).map(|_| f.add(&key, &long))).await;
        added.extend(adds.into_iter().map(Result::unwrap));
    }
    for mut tail in tails {
        assert_eq!(tail.ids(300).await, added);
    }
}

/// It changes between backlog and new entries.
async fn a_tail_that_falls_behind_many_times_loses_nothing(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    for n in [1, 700, 2, 1_500, 1, 1, 300] {
        let added = f.add_concurrently(&key, n).await.unwrap();
        assert_eq!(tail.ids(n).await, added);
        tail.expect_silence(20).await;
    }
}
