//! `XGROUP CREATE key group id MKSTREAM`.

use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::MAX_ID_BYTES;

use crate::fixture::{Fixture, DirectRedis, code, ids, parts};

use super::read_ids::MALFORMED;

cases![
    a_group_created_twice_is_busy,
    a_group_that_is_busy_keeps_its_place,
    a_group_on_a_missing_key_creates_the_stream,
    a_group_at_0_begins_with_the_first_entry,
    a_group_at_dollar_begins_with_the_next_entry,
    a_group_at_an_id_begins_after_it,
    a_group_at_ms_begins_after_its_first_id,
    a_group_beyond_the_end_gets_only_what_is_beyond,
    groups_of_one_stream_are_apart,
    groups_of_one_name_on_two_streams_are_apart,
    any_name_will_do,
    a_malformed_id_is_refused,
    an_overlong_id_is_refused,
    ;
    needs_redis:
    redis_sees_the_group,
    a_malformed_id_creates_no_stream,
];

/// BUSYGROUP, whatever the id.
async fn a_group_created_twice_is_busy(f: Fixture) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    for id in ["0", "$", "5-5"] {
        let again = f.backend.stream_create_group(&key, "group", id).await;
        assert_eq!(code(&again), codes::BUSYGROUP, "{id}");
    }
}

/// The second creation changes nothing.
async fn a_group_that_is_busy_keeps_its_place(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    let first = f.backend.stream_read_group(&key, "group", "consumer", 1, None).await.unwrap();
    assert_eq!(ids(&first), added[..1]);
    f.backend.stream_create_group(&key, "group", "0").await.unwrap_err();
    assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), added[1..]);
}

/// MKSTREAM.
async fn a_group_on_a_missing_key_creates_the_stream(f: Fixture) {
    for start in ["0", "$"] {
        let key = f.key();
        f.backend.stream_create_group(&key, "group", start).await.unwrap();
        assert_eq!(f.read_group_now(&key, "group", "consumer").await.unwrap(), []);
        assert_eq!(f.read(&key, "0").await.unwrap(), []);
        let id = f.add(&key, "first").await.unwrap();
        assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), [id]);
    }
}

/// Everything.
async fn a_group_at_0_begins_with_the_first_entry(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for (group, id) in [("short", "0"), ("long", "0-0")] {
        f.backend.stream_create_group(&key, group, id).await.unwrap();
        assert_eq!(ids(&f.read_group_now(&key, group, "consumer").await.unwrap()), added);
    }
}

/// Nothing that is there already.
async fn a_group_at_dollar_begins_with_the_next_entry(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    assert_eq!(f.read_group_now(&key, "group", "consumer").await.unwrap(), []);
    let id = f.add(&key, "next").await.unwrap();
    assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), [id]);
}

/// Strictly after.
async fn a_group_at_an_id_begins_after_it(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    f.backend.stream_create_group(&key, "group", &added[0]).await.unwrap();
    assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), added[1..]);
}

/// `ms` is `ms-0`.
async fn a_group_at_ms_begins_after_its_first_id(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 10).await.unwrap();
    let (ms, _) = parts(&added[4]);
    f.backend.stream_create_group(&key, "group", &ms.to_string()).await.unwrap();
    let expected: Vec<_> = added.iter().filter(|id| parts(id) > (ms, 0)).collect();
    assert_eq!(ids(&f.read_group_now(&key, "group", "consumer").await.unwrap()), expected);
}

/// The id need not be reached yet.
async fn a_group_beyond_the_end_gets_only_what_is_beyond(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    f.backend.stream_create_group(&key, "group", "99999999999999-1").await.unwrap();
    f.add(&key, "not beyond").await.unwrap();
    assert_eq!(f.read_group_now(&key, "group", "consumer").await.unwrap(), []);
}

/// Each group gets every entry.
async fn groups_of_one_stream_are_apart(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for group in ["one", "two"] {
        f.backend.stream_create_group(&key, group, "0").await.unwrap();
    }
    for group in ["one", "two"] {
        assert_eq!(ids(&f.read_group_now(&key, group, "consumer").await.unwrap()), added);
    }
}

/// A group belongs to its stream.
async fn groups_of_one_name_on_two_streams_are_apart(f: Fixture) {
    let (one, two) = (f.key(), f.key());
    f.backend.stream_create_group(&one, "group", "0").await.unwrap();
    f.backend.stream_create_group(&two, "group", "0").await.unwrap();
    let id = f.add(&one, "1").await.unwrap();
    assert_eq!(f.read_group_now(&two, "group", "consumer").await.unwrap(), []);
    assert_eq!(ids(&f.read_group_now(&one, "group", "consumer").await.unwrap()), [id]);
}

/// Names are bytes to Redis: empty, with spaces, in any script.
async fn any_name_will_do(f: Fixture) {
    let key = format!("{} \n\"' 🦀\0", f.key());
    let added = f.add_in_sequence(&key, 1).await.unwrap();
    for name in ["", " ", "a b", "\0", "\r\n", "$", "🦀", "GROUP"] {
        f.backend.stream_create_group(&key, name, "0").await.unwrap();
        assert_eq!(ids(&f.read_group_now(&key, name, name).await.unwrap()), added, "{name:?}");
        f.backend.stream_ack(&key, name, &added).await.unwrap();
    }
}

/// ERR, and there is no such group.
async fn a_malformed_id_is_refused(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 1).await.unwrap();
    for id in MALFORMED.iter().chain(&["+"]) {
        let refused = f.backend.stream_create_group(&key, "group", id).await;
        assert_eq!(code(&refused), codes::ERR, "{id:?}");
    }
    assert_eq!(code(&f.read_group_now(&key, "group", "consumer").await), codes::NOGROUP);
}

/// No id is that long.
async fn an_overlong_id_is_refused(f: Fixture) {
    let digits = "1".repeat(MAX_ID_BYTES + 1);
    let refused = f.backend.stream_create_group(&f.key(), "group", &digits).await;
    assert_eq!(code(&refused), codes::ERR);
}

/// A program that asks Redis sees the same group.
async fn redis_sees_the_group(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "5-7").await.unwrap();
    let groups: Vec<std::collections::HashMap<String, redis::Value>> =
        redis.send(&[b"XINFO", b"GROUPS", key.as_bytes()]).await.unwrap();
    assert_eq!(groups.len(), 1);
    let text = |field: &str| redis::from_redis_value::<String>(groups[0][field].clone()).unwrap();
    assert_eq!(text("name"), "group");
    assert_eq!(text("last-delivered-id"), "5-7");
}

/// Redis reads the id before it makes the stream.
async fn a_malformed_id_creates_no_stream(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "abc").await.unwrap_err();
    let exists: u64 = redis.send(&[b"EXISTS", key.as_bytes()]).await.unwrap();
    assert_eq!(exists, 0);
}
