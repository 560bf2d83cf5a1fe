//! Tails: how they end.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use streamgate_protocol::{TailFrom, TailItem};
use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::{DEFAULT_REQUESTS_IN_FLIGHT, MAX_ID_BYTES, MAX_NAME_BYTES};

use super::read_ids::MALFORMED;
use crate::fixture::{Fixture, HANG, code};
use crate::reader::Reader;

cases![
    a_dropped_tail_harms_no_other,
    a_tail_that_is_dropped_right_after_asking_harms_nobody,
    dropped_tails_leave_their_places,
    a_tail_that_was_never_polled_asks_nothing,
    a_malformed_id_is_refused,
    an_overlong_id_is_refused,
    a_long_name_is_refused,
    a_refused_tail_harms_no_other,
    ;
    heavy:
    a_tail_that_is_dropped_with_entries_on_their_way_harms_nobody,
];

/// The code of the error that a tail starts with, and ends.
pub(super) async fn refused(f: &Fixture, key: &str, from: TailFrom) -> String {
    let mut tail = f.backend.tail(key, from.clone());
    let first = tail.next().await.unwrap();
    assert!(first.is_err(), "{from:?} gives {first:?}");
    assert_eq!(tail.next().await, None, "behind the error");
    code(&first).to_owned()
}

/// Of the same stream.
async fn a_dropped_tail_harms_no_other(f: Fixture) {
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

/// On its way, wherever it is.
async fn a_tail_that_is_dropped_right_after_asking_harms_nobody(f: Fixture) {
    let key = f.key();
    for i in 0..30 {
        let from = [TailFrom::Now, TailFrom::Beginning, TailFrom::Last(1)][i % 3].clone();
        drop(Reader::started(&f, &key, from));
        let mut tail = Reader::started(&f, &key, TailFrom::Now);
        let id = f.add(&key, "new").await.unwrap();
        assert_eq!(tail.ids(1).await, [id]);
    }
}

/// A backlog of megabytes.
async fn a_tail_that_is_dropped_with_entries_on_their_way_harms_nobody(f: Fixture) {
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

/// More than a server grants one socket at once: were they kept, there would be no room.
async fn dropped_tails_leave_their_places(f: Fixture) {
    let key = f.key();
    let id = f.add(&key, "old").await.unwrap();
    let mut begun = 0;
    while begun <= DEFAULT_REQUESTS_IN_FLIGHT {
        let tails = join_all((0..500).map(|_| Reader::open(&f, &key, TailFrom::Now))).await;
        assert!(tails.iter().all(|tail| tail.position() == id));
        begun += 500;
    }
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}

/// `now` is when it is polled first.
async fn a_tail_that_was_never_polled_asks_nothing(f: Fixture) {
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

/// `$` is none here: that is `Now`.
async fn a_malformed_id_is_refused(f: Fixture) {
    let key = f.key();
    for exists in [false, true] {
        for id in MALFORMED.iter().chain(&["$", "+"]) {
            let from = TailFrom::After((*id).to_owned());
            assert_eq!(refused(&f, &key, from).await, codes::ERR, "{id:?}, {exists}");
        }
        f.add(&key, "1").await.unwrap();
    }
}

/// It is malformed too.
async fn an_overlong_id_is_refused(f: Fixture) {
    let id = format!("1-{}", "0".repeat(MAX_ID_BYTES));
    assert_eq!(refused(&f, &f.key(), TailFrom::After(id)).await, codes::ERR);
}

/// `LIMIT`, as of every operation.
async fn a_long_name_is_refused(f: Fixture) {
    for bytes in [MAX_NAME_BYTES + 1, 64 * 1024] {
        let key = "k".repeat(bytes);
        assert_eq!(refused(&f, &key, TailFrom::Now).await, codes::LIMIT);
        assert_eq!(refused(&f, &key, TailFrom::Beginning).await, codes::LIMIT);
    }
}

/// Errors are a tail's own.
async fn a_refused_tail_harms_no_other(f: Fixture) {
    let key = f.key();
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let malformed = TailFrom::After("nonsense".to_owned());
    assert_eq!(refused(&f, &key, malformed).await, codes::ERR);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [id]);
}
