//! `XADD key * field value …`: ids and order.

use futures_util::future::try_join_all;
use streamgate_protocol::error::code as codes;

use crate::fixture::{Fixture, DirectRedis, code, ids, pairs, parts, values};

cases![
    add_gives_a_full_id,
    ids_of_a_stream_grow,
    what_was_added_can_be_read_at_once,
    an_add_without_fields_is_refused,
    an_add_without_fields_adds_nothing,
    streams_are_apart,
    two_thousand_adds_asked_at_once_keep_their_order,
    adds_from_two_sides_are_all_there,
    ;
    needs_redis:
    redis_sees_the_same_id_and_fields,
    an_add_to_a_stream_of_later_ids_gets_a_later_one,
];

/// XADD answers with the new id, `ms-seq`.
async fn add_gives_a_full_id(f: Fixture) {
    let id = f.add(&f.key(), "1").await.unwrap();
    assert!(parts(&id) > (0, 0), "{id}");
}

/// Each id is greater than the one before, within a millisecond too.
async fn ids_of_a_stream_grow(f: Fixture) {
    let added = f.add_in_sequence(&f.key(), 50).await.unwrap();
    assert!(added.windows(2).all(|two| parts(&two[0]) < parts(&two[1])), "{added:?}");
}

/// An answered XADD is seen by every read after it.
async fn what_was_added_can_be_read_at_once(f: Fixture) {
    let key = f.key();
    let id = f.backend.stream_add(&key, pairs(&[("a", "1"), ("b", "2")]), None).await.unwrap();
    let entry = (id, pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(f.read(&key, "0").await.unwrap(), std::slice::from_ref(&entry));
    assert_eq!(f.backend.stream_read_latest(&key, 1).await.unwrap(), [entry]);
}

/// XADD wants at least one pair: ERR.
async fn an_add_without_fields_is_refused(f: Fixture) {
    let refused = f.backend.stream_add(&f.key(), Vec::new(), None).await;
    assert_eq!(code(&refused), codes::ERR);
    let refused = f.backend.stream_add(&f.key(), Vec::new(), Some(10)).await;
    assert_eq!(code(&refused), codes::ERR);
}

/// A refused XADD leaves the stream as it was, and the backend in order.
async fn an_add_without_fields_adds_nothing(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    f.backend.stream_add(&key, Vec::new(), Some(0)).await.unwrap_err();
    assert_eq!(ids(&f.read(&key, "0").await.unwrap()), added);
}

/// A key is a stream of its own, whatever other keys begin with.
async fn streams_are_apart(f: Fixture) {
    let key = f.key();
    let other = format!("{key}:more");
    f.add(&key, "here").await.unwrap();
    f.add(&other, "there").await.unwrap();
    assert_eq!(values(&f.read(&key, "0").await.unwrap()), ["here"]);
    assert_eq!(values(&f.read(&other, "0").await.unwrap()), ["there"]);
}

/// Adds asked on one handle without waiting in between are carried out in that order, none
/// missing, none twice.
async fn two_thousand_adds_asked_at_once_keep_their_order(f: Fixture) {
    let key = f.key();
    let texts: Vec<_> = (0..2_000).map(|i| i.to_string()).collect();
    let added = try_join_all(texts.iter().map(|text| f.add(&key, text))).await.unwrap();
    assert!(added.windows(2).all(|two| parts(&two[0]) < parts(&two[1])));
    let entries = f.read(&key, "0").await.unwrap();
    assert_eq!(ids(&entries), added);
    assert_eq!(values(&entries), texts);
}

/// Two series of adds at the same time: all there, each in its own order.
async fn adds_from_two_sides_are_all_there(f: Fixture) {
    let key = f.key();
    let series = async |name: &str| {
        for i in 0..100 {
            f.add(&key, &format!("{name}{i}")).await.unwrap();
        }
    };
    futures_util::future::join(series("a"), series("b")).await;
    let entries = f.read(&key, "0").await.unwrap();
    let values = values(&entries);
    assert_eq!(values.len(), 200);
    for name in ["a", "b"] {
        let got: Vec<_> = values.iter().filter(|value| value.starts_with(name)).collect();
        let expected: Vec<_> = (0..100).map(|i| format!("{name}{i}")).collect();
        assert_eq!(got, expected.iter().collect::<Vec<_>>());
    }
}

/// The stream is Redis's own: a program that asks Redis gets the same entry.
async fn redis_sees_the_same_id_and_fields(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let fields = pairs(&[("b", "1"), ("a", "2"), ("b", "3")]);
    let id = f.backend.stream_add(&key, fields.clone(), None).await.unwrap();
    let seen: Vec<(String, Vec<String>)> =
        redis.send(&[b"XRANGE", key.as_bytes(), b"-", b"+"]).await.unwrap();
    let flat = fields.into_iter().flat_map(|(name, value)| [name, value]).collect();
    assert_eq!(seen, [(id, flat)]);
}

/// `*` is never below the stream's last id, even if that is ahead of the clock.
async fn an_add_to_a_stream_of_later_ids_gets_a_later_one(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let last = "9999999999999-7";
    let _: String =
        redis.send(&[b"XADD", key.as_bytes(), last.as_bytes(), b"a", b"1"]).await.unwrap();
    assert_eq!(f.add(&key, "2").await.unwrap(), "9999999999999-8");
}
