//! `XACK`: the ids it accepts.

use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::MAX_ID_BYTES;

use crate::fixture::{DirectRedis, Fixture, code, parts};
use crate::malformed_ids::not_an_id;

use super::ack::add_and_deliver;

cases![
    unknown_ids_succeed,
    a_malformed_id_is_rejected,
    a_malformed_id_is_rejected_on_a_missing_group,
    leading_zeros_are_ignored,
    an_overlong_id_is_rejected,
    ;
    needs_redis:
    one_malformed_id_rejects_the_whole_call,
    ms_alone_means_sequence_0,
];

/// `XACK` counts 0.
async fn unknown_ids_succeed(f: Fixture) {
    let (key, _) = add_and_deliver(&f, 1).await;
    for id in [
        "0",
        "0-0",
        "5",
        "1-1",
        "18446744073709551615-18446744073709551615",
    ] {
        let acked = f.backend.stream_ack(&key, "group", &[id.to_owned()]).await;
        assert_eq!(code(&acked), "OK", "{id}");
    }
}

/// `ERR`: `$`, `+` and `-` are not ids here.
async fn a_malformed_id_is_rejected(f: Fixture) {
    let (key, _) = add_and_deliver(&f, 1).await;
    for id in not_an_id() {
        let acked = f
            .backend
            .stream_ack(&key, "group", &[id.to_owned()])
            .await;
        assert_eq!(code(&acked), codes::ERR, "{id:?}");
    }
}

/// Redis looks for the group first and ignores the ids if it is missing; streamgate always checks
/// them.
async fn a_malformed_id_is_rejected_on_a_missing_group(f: Fixture) {
    let (key, _) = add_and_deliver(&f, 1).await;
    for key in [key, f.key()] {
        let acked = f
            .backend
            .stream_ack(&key, "another", &["abc".to_owned()])
            .await;
        assert_eq!(code(&acked), codes::ERR);
    }
}

/// `05-03` is `5-3`.
async fn leading_zeros_are_ignored(f: Fixture) {
    let (key, added) = add_and_deliver(&f, 2).await;
    let (ms, seq) = parts(&added[0]);
    f.backend
        .stream_ack(&key, "group", &[format!("00{ms}-0{seq}")])
        .await
        .unwrap();
    let summary = f.backend.pending_summary(&key, "group").await.unwrap();
    assert_eq!(summary.smallest.as_ref(), Some(&added[1]));
}

/// No id is longer than `MAX_ID_BYTES`.
async fn an_overlong_id_is_rejected(f: Fixture) {
    let (key, _) = add_and_deliver(&f, 1).await;
    let digits = "1".repeat(MAX_ID_BYTES + 1);
    assert_eq!(
        code(&f.backend.stream_ack(&key, "group", &[digits]).await),
        codes::ERR
    );
}

/// `XACK` parses all ids before it acknowledges one.
async fn one_malformed_id_rejects_the_whole_call(f: Fixture, redis: DirectRedis) {
    let (key, added) = add_and_deliver(&f, 2).await;
    let named = [added[0].clone(), "abc".to_owned(), added[1].clone()];
    assert_eq!(
        code(&f.backend.stream_ack(&key, "group", &named).await),
        codes::ERR
    );
    let pending: (u64, redis::Value, redis::Value, redis::Value) = redis
        .send(&[b"XPENDING", key.as_bytes(), b"group"])
        .await
        .unwrap();
    assert_eq!(pending.0, 2);
}

/// `ms` is `ms-0`, not every id of that millisecond.
async fn ms_alone_means_sequence_0(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    for id in ["7-0", "7-1"] {
        let _: String = redis
            .send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"])
            .await
            .unwrap();
    }
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    let delivered = f.read_group_now(&key, "group", "consumer").await.unwrap();
    let ms = parts(&delivered[0].0).0.to_string();
    f.backend.stream_ack(&key, "group", &[ms]).await.unwrap();
    let pending: Vec<(String, String, u64, u64)> = redis
        .send(&[b"XPENDING", key.as_bytes(), b"group", b"-", b"+", b"10"])
        .await
        .unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].0, "7-1");
}
