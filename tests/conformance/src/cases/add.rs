//! `XADD key * field value …`: ids and order.

use futures_util::future::try_join_all;
use streamgate_protocol::error::code as codes;

use crate::fixture::{DirectRedis, Fixture, code, ids, pairs, parts, values};

cases![
    add_returns_a_full_id,
    ids_of_a_stream_increase,
    an_added_entry_is_visible_at_once,
    an_add_without_fields_is_rejected,
    a_rejected_add_changes_nothing,
    streams_are_independent,
    two_thousand_concurrent_adds_keep_their_order,
    concurrent_series_of_adds_lose_nothing,
    ;
    needs_redis:
    redis_sees_the_same_id_and_fields,
    an_id_exceeds_the_streams_last_id,
];

/// `XADD` answers with the new id, `ms-seq`.
async fn add_returns_a_full_id(f: Fixture) {
    let id = f.add(&f.key(), "1").await.unwrap();
    assert!(parts(&id) > (0, 0), "{id}");
}

/// Within one millisecond too.
async fn ids_of_a_stream_increase(f: Fixture) {
    let added = f.add_in_sequence(&f.key(), 50).await.unwrap();
    assert!(
        added.windows(2).all(|two| parts(&two[0]) < parts(&two[1])),
        "{added:?}"
    );
}

/// Every read after the answer of `XADD` sees the entry.
async fn an_added_entry_is_visible_at_once(f: Fixture) {
    let key = f.key();
    let id = f
        .backend
        .stream_add(&key, pairs(&[("a", "1"), ("b", "2")]), None)
        .await
        .unwrap();
    let entry = (id, pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(
        f.read(&key, "0").await.unwrap(),
        std::slice::from_ref(&entry)
    );
    assert_eq!(
        f.backend.stream_read_latest(&key, 1).await.unwrap(),
        [entry]
    );
}

/// `XADD` needs at least one pair: `ERR`.
async fn an_add_without_fields_is_rejected(f: Fixture) {
    let rejected = f.backend.stream_add(&f.key(), Vec::new(), None).await;
    assert_eq!(code(&rejected), codes::ERR);
    let rejected = f.backend.stream_add(&f.key(), Vec::new(), Some(10)).await;
    assert_eq!(code(&rejected), codes::ERR);
}

/// The stream stays as it is, and the backend stays usable.
async fn a_rejected_add_changes_nothing(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    f.backend
        .stream_add(&key, Vec::new(), Some(0))
        .await
        .unwrap_err();
    assert_eq!(ids(&f.read(&key, "0").await.unwrap()), added);
}

/// Even if one key is a prefix of another.
async fn streams_are_independent(f: Fixture) {
    let key = f.key();
    let other = format!("{key}:more");
    f.add(&key, "here").await.unwrap();
    f.add(&other, "elsewhere").await.unwrap();
    assert_eq!(values(&f.read(&key, "0").await.unwrap()), ["here"]);
    assert_eq!(values(&f.read(&other, "0").await.unwrap()), ["elsewhere"]);
}

/// Adds sent on one handle without waiting are executed in that order, each exactly once.
async fn two_thousand_concurrent_adds_keep_their_order(f: Fixture) {
    let key = f.key();
    let texts: Vec<_> = (0..2_000).map(|i| i.to_string()).collect();
    let added = try_join_all(texts.iter().map(|text| f.add(&key, text)))
        .await
        .unwrap();
    assert!(added.windows(2).all(|two| parts(&two[0]) < parts(&two[1])));
    let entries = f.read(&key, "0").await.unwrap();
    assert_eq!(ids(&entries), added);
    assert_eq!(values(&entries), texts);
}

/// Each series keeps its own order.
async fn concurrent_series_of_adds_lose_nothing(f: Fixture) {
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
        let of_series: Vec<_> = values
            .iter()
            .filter(|value| value.starts_with(name))
            .collect();
        let expected: Vec<_> = (0..100).map(|i| format!("{name}{i}")).collect();
        assert_eq!(of_series, expected.iter().collect::<Vec<_>>());
    }
}

/// The stream is Redis's own: `XRANGE` returns the same entry.
async fn redis_sees_the_same_id_and_fields(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let fields = pairs(&[("b", "1"), ("a", "2"), ("b", "3")]);
    let id = f
        .backend
        .stream_add(&key, fields.clone(), None)
        .await
        .unwrap();
    let seen: Vec<(String, Vec<String>)> = redis
        .send(&[b"XRANGE", key.as_bytes(), b"-", b"+"])
        .await
        .unwrap();
    let flat = fields
        .into_iter()
        .flat_map(|(name, value)| [name, value])
        .collect();
    assert_eq!(seen, [(id, flat)]);
}

/// Even if the last id is ahead of the clock.
async fn an_id_exceeds_the_streams_last_id(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let last = "9999999999999-7";
    let _: String = redis
        .send(&[b"XADD", key.as_bytes(), last.as_bytes(), b"a", b"1"])
        .await
        .unwrap();
    assert_eq!(f.add(&key, "2").await.unwrap(), "9999999999999-8");
}
