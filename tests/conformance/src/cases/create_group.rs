//! `XGROUP CREATE key group id MKSTREAM`.

use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::MAX_ID_BYTES;

use crate::fixture::{DirectRedis, Fixture, code, ids, parts};
use crate::malformed_ids::not_a_start;

cases![
    creating_a_group_twice_fails,
    creating_a_group_twice_keeps_its_position,
    a_group_on_a_missing_key_creates_the_stream,
    a_group_at_0_starts_with_the_first_entry,
    a_group_at_dollar_starts_with_the_next_entry,
    a_group_at_an_id_starts_after_it,
    a_group_at_ms_starts_after_sequence_0,
    a_group_beyond_the_end_receives_only_later_ids,
    groups_of_one_stream_are_independent,
    groups_of_one_name_on_two_streams_are_independent,
    any_string_is_a_valid_name,
    a_malformed_id_is_rejected,
    an_overlong_id_is_rejected,
    ;
    needs_redis:
    redis_sees_the_group,
    a_malformed_id_creates_no_stream,
];

/// `BUSYGROUP`, whatever the id.
async fn creating_a_group_twice_fails(f: Fixture) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    for id in ["0", "$", "5-5"] {
        let again = f.backend.stream_create_group(&key, "group", id).await;
        assert_eq!(code(&again), codes::BUSYGROUP, "{id}");
    }
}

/// The second call changes nothing.
async fn creating_a_group_twice_keeps_its_position(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    let first = f
        .backend
        .stream_read_group(&key, "group", "consumer", 1, None)
        .await
        .unwrap();
    assert_eq!(ids(&first), added[..1]);
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap_err();
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
        added[1..]
    );
}

/// `MKSTREAM`.
async fn a_group_on_a_missing_key_creates_the_stream(f: Fixture) {
    for start in ["0", "$"] {
        let key = f.key();
        f.backend
            .stream_create_group(&key, "group", start)
            .await
            .unwrap();
        assert_eq!(
            f.read_group_now(&key, "group", "consumer").await.unwrap(),
            []
        );
        assert_eq!(f.read(&key, "0").await.unwrap(), []);
        let id = f.add(&key, "first").await.unwrap();
        assert_eq!(
            ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
            [id]
        );
    }
}

async fn a_group_at_0_starts_with_the_first_entry(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for (group, id) in [("short", "0"), ("long", "0-0")] {
        f.backend
            .stream_create_group(&key, group, id)
            .await
            .unwrap();
        assert_eq!(
            ids(&f.read_group_now(&key, group, "consumer").await.unwrap()),
            added
        );
    }
}

/// Existing entries are not delivered.
async fn a_group_at_dollar_starts_with_the_next_entry(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 3).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    assert_eq!(
        f.read_group_now(&key, "group", "consumer").await.unwrap(),
        []
    );
    let id = f.add(&key, "next").await.unwrap();
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
        [id]
    );
}

/// The id is exclusive.
async fn a_group_at_an_id_starts_after_it(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", &added[0])
        .await
        .unwrap();
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
        added[1..]
    );
}

/// `ms` is `ms-0`.
async fn a_group_at_ms_starts_after_sequence_0(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    let (ms, _) = parts(&added[4]);
    f.backend
        .stream_create_group(&key, "group", &ms.to_string())
        .await
        .unwrap();
    let expected: Vec<_> = added.iter().filter(|id| parts(id) > (ms, 0)).collect();
    assert_eq!(
        ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()),
        expected
    );
}

/// The id may be greater than the stream's last id.
async fn a_group_beyond_the_end_receives_only_later_ids(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    f.backend
        .stream_create_group(&key, "group", "99999999999999-1")
        .await
        .unwrap();
    f.add(&key, "smaller").await.unwrap();
    assert_eq!(
        f.read_group_now(&key, "group", "consumer").await.unwrap(),
        []
    );
}

/// Each group receives every entry.
async fn groups_of_one_stream_are_independent(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for group in ["one", "two"] {
        f.backend
            .stream_create_group(&key, group, "0")
            .await
            .unwrap();
    }
    for group in ["one", "two"] {
        assert_eq!(
            ids(&f.read_group_now(&key, group, "consumer").await.unwrap()),
            added
        );
    }
}

/// A group belongs to its stream.
async fn groups_of_one_name_on_two_streams_are_independent(f: Fixture) {
    let (one, two) = (f.key(), f.key());
    f.backend
        .stream_create_group(&one, "group", "0")
        .await
        .unwrap();
    f.backend
        .stream_create_group(&two, "group", "0")
        .await
        .unwrap();
    let id = f.add(&one, "1").await.unwrap();
    assert_eq!(
        f.read_group_now(&two, "group", "consumer").await.unwrap(),
        []
    );
    assert_eq!(
        ids(&f.read_group_now(&one, "group", "consumer").await.unwrap()),
        [id]
    );
}

/// To Redis names are bytes: empty, with spaces, in any script.
async fn any_string_is_a_valid_name(f: Fixture) {
    let key = format!("{} \n\"' 🦀\0", f.key());
    let added = f.add_in_sequence(&key, 1).await.unwrap();
    for name in ["", " ", "a b", "\0", "\r\n", "$", "🦀", "GROUP"] {
        f.backend
            .stream_create_group(&key, name, "0")
            .await
            .unwrap();
        assert_eq!(
            ids(&f.read_group_now(&key, name, name).await.unwrap()),
            added,
            "{name:?}"
        );
        f.backend.stream_ack(&key, name, &added).await.unwrap();
    }
}

/// `ERR`, and no group is created.
async fn a_malformed_id_is_rejected(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    for id in not_a_start() {
        let rejected = f.backend.stream_create_group(&key, "group", id).await;
        assert_eq!(code(&rejected), codes::ERR, "{id:?}");
    }
    assert_eq!(
        code(&f.read_group_now(&key, "group", "consumer").await),
        codes::NOGROUP
    );
}

/// No id is longer than `MAX_ID_BYTES`.
async fn an_overlong_id_is_rejected(f: Fixture) {
    let digits = "1".repeat(MAX_ID_BYTES + 1);
    let rejected = f
        .backend
        .stream_create_group(&f.key(), "group", &digits)
        .await;
    assert_eq!(code(&rejected), codes::ERR);
}

/// `XINFO GROUPS` lists the same group.
async fn redis_sees_the_group(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "5-7")
        .await
        .unwrap();
    let groups: Vec<std::collections::HashMap<String, redis::Value>> = redis
        .send(&[b"XINFO", b"GROUPS", key.as_bytes()])
        .await
        .unwrap();
    assert_eq!(groups.len(), 1);
    let text = |field: &str| redis::from_redis_value::<String>(groups[0][field].clone()).unwrap();
    assert_eq!(text("name"), "group");
    assert_eq!(text("last-delivered-id"), "5-7");
}

/// Redis parses the id before it creates the stream.
async fn a_malformed_id_creates_no_stream(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "abc")
        .await
        .unwrap_err();
    let exists: u64 = redis.send(&[b"EXISTS", key.as_bytes()]).await.unwrap();
    assert_eq!(exists, 0);
}
