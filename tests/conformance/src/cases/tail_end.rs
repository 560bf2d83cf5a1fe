//! Tails: how they end.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::{DEFAULT_REQUESTS_IN_FLIGHT, MAX_ID_BYTES, MAX_NAME_BYTES};
use streamgate_protocol::{TailFrom, TailItem};

use crate::fixture::{Fixture, HANG, code};
use crate::malformed_ids::not_an_id;
use crate::reader::Reader;

cases![
    dropping_a_tail_does_not_affect_others_of_its_stream,
    dropping_a_tail_at_once_does_not_affect_others,
    dropped_tails_free_their_slots,
    a_tail_starts_with_its_first_poll,
    a_malformed_id_is_rejected,
    an_overlong_id_is_rejected,
    an_overlong_key_is_rejected,
    rejecting_a_tail_does_not_affect_others,
    ;
    heavy:
    dropping_a_tail_with_entries_in_flight_does_not_affect_others,
];

/// The code of the error that a tail starts and ends with.
pub(super) async fn rejection(f: &Fixture, key: &str, from: TailFrom) -> String {
    let mut tail = f.backend.tail(key, from.clone());
    let first = tail.next().await.unwrap();
    assert!(first.is_err(), "{from:?} returned {first:?}");
    assert_eq!(tail.next().await, None, "after the error");
    code(&first).to_owned()
}

async fn dropping_a_tail_does_not_affect_others_of_its_stream(f: Fixture) {
    let key = f.key();
    let mut kept = Reader::open(&f, &key, TailFrom::Now).await;
    for _ in 0..20 {
        let dropped = Reader::open(&f, &key, TailFrom::Now).await;
        let one = f.add(&key, "one").await.unwrap();
        drop(dropped);
        let two = f.add(&key, "two").await.unwrap();
        assert_eq!(kept.ids(2).await, [one, two]);
    }
}

/// The request may still be on its way to the backend.
async fn dropping_a_tail_at_once_does_not_affect_others(f: Fixture) {
    let key = f.key();
    for i in 0..30 {
        let from = [TailFrom::Now, TailFrom::Beginning, TailFrom::Last(1)][i % 3].clone();
        drop(Reader::started(&f, &key, from));
        let mut tail = Reader::started(&f, &key, TailFrom::Now);
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(tail.ids(1).await, [id]);
    }
}

/// Each tail has megabytes of backlog.
async fn dropping_a_tail_with_entries_in_flight_does_not_affect_others(f: Fixture) {
    let key = f.key();
    let long = "x".repeat(10_000);
    for _ in 0..10 {
        let added = join_all((0..50).map(|_| f.add(&key, &long))).await;
        assert!(added.iter().all(Result::is_ok));
    }
    for _ in 0..20 {
        let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
        tail.entry().await;
    }
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(500).await.len(), 500);
}

/// More tails are opened than a server grants one socket at a time.
async fn dropped_tails_free_their_slots(f: Fixture) {
    let key = f.key();
    let id = f.add(&key, "old").await.unwrap();
    let mut opened = 0;
    while opened <= DEFAULT_REQUESTS_IN_FLIGHT {
        let tails = join_all((0..500).map(|_| Reader::open(&f, &key, TailFrom::Now))).await;
        assert!(tails.iter().all(|tail| tail.position() == id));
        opened += 500;
    }
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}

/// `Now` is resolved then.
async fn a_tail_starts_with_its_first_poll(f: Fixture) {
    let key = f.key();
    let mut tail = f.backend.tail(&key, TailFrom::Now);
    f.add_in_sequence(&key, 3).await.unwrap();
    let first = tokio::time::timeout(HANG, tail.next()).await;
    let first = first.unwrap().unwrap().unwrap();
    assert!(
        matches!(&first, TailItem::Entries { entries, .. } if entries.is_empty()),
        "{first:?}"
    );
    drop(f.backend.tail(&key, TailFrom::Now));
}

/// Including `$`: `Now` stands for it.
async fn a_malformed_id_is_rejected(f: Fixture) {
    let key = f.key();
    for exists in [false, true] {
        for id in not_an_id() {
            let from = TailFrom::After(id.to_owned());
            assert_eq!(
                rejection(&f, &key, from).await,
                codes::ERR,
                "{id:?}, {exists}"
            );
        }
        f.add(&key, "1").await.unwrap();
    }
}

async fn an_overlong_id_is_rejected(f: Fixture) {
    let id = format!("1-{}", "0".repeat(MAX_ID_BYTES));
    assert_eq!(
        rejection(&f, &f.key(), TailFrom::After(id)).await,
        codes::ERR
    );
}

/// `LIMIT`, as by every operation.
async fn an_overlong_key_is_rejected(f: Fixture) {
    for bytes in [MAX_NAME_BYTES + 1, 64 * 1024] {
        let key = "k".repeat(bytes);
        assert_eq!(rejection(&f, &key, TailFrom::Now).await, codes::LIMIT);
        assert_eq!(rejection(&f, &key, TailFrom::Beginning).await, codes::LIMIT);
    }
}

async fn rejecting_a_tail_does_not_affect_others(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let malformed = TailFrom::After("nonsense".to_owned());
    assert_eq!(rejection(&f, &key, malformed).await, codes::ERR);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}
