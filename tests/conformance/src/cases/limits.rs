//! `LIMIT`: every operation rejects names longer than `MAX_NAME_BYTES`, an add an entry larger than
//! `MAX_ENTRY_BYTES` or of more than `MAX_FIELDS` fields, and an acknowledgement more than `MAX_IDS`
//! ids.

use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::{
    FIELD_BYTES, MAX_ENTRY_BYTES, MAX_FIELDS, MAX_IDS, MAX_NAME_BYTES,
};

use crate::fixture::{Fixture, LONG_WAIT, code, ids, pairs};

cases![
    an_add_to_an_overlong_key_is_rejected,
    reading_the_latest_of_an_overlong_key_is_rejected,
    a_read_of_an_overlong_key_is_rejected,
    a_wait_on_an_overlong_key_is_rejected,
    a_group_on_an_overlong_key_is_rejected,
    an_overlong_group_name_is_rejected,
    a_group_read_with_an_overlong_name_is_rejected,
    an_acknowledgement_with_an_overlong_name_is_rejected,
    an_add_of_too_many_fields_is_rejected_and_one_of_the_most_is_read,
    an_acknowledgement_of_too_many_ids_is_rejected_and_one_of_the_most_is_not,
    the_limit_counts_bytes,
    names_of_the_maximum_length_are_accepted,
    a_rejection_does_not_affect_other_calls,
    ; heavy:
    an_entry_beyond_the_maximum_size_is_rejected_and_the_largest_is_read,
];

fn long() -> String {
    "k".repeat(64 * 1024)
}

/// `XADD`.
async fn an_add_to_an_overlong_key_is_rejected(f: Fixture) {
    for key in [long(), "k".repeat(MAX_NAME_BYTES + 1)] {
        let rejected = f.backend.stream_add(&key, pairs(&[("a", "1")]), None).await;
        assert_eq!(code(&rejected), codes::LIMIT);
    }
}

/// `XREVRANGE`.
async fn reading_the_latest_of_an_overlong_key_is_rejected(f: Fixture) {
    for key in [long(), "k".repeat(MAX_NAME_BYTES + 1)] {
        assert_eq!(
            code(&f.backend.stream_read_latest(&key, 1).await),
            codes::LIMIT
        );
    }
}

/// `XREAD`.
async fn a_read_of_an_overlong_key_is_rejected(f: Fixture) {
    for key in [long(), "k".repeat(MAX_NAME_BYTES + 1)] {
        assert_eq!(code(&f.read(&key, "0").await), codes::LIMIT);
    }
}

/// `XREAD BLOCK` and `XREADGROUP … BLOCK`, at once.
async fn a_wait_on_an_overlong_key_is_rejected(f: Fixture) {
    let read = f.backend.stream_read(&long(), "$", 1, LONG_WAIT).await;
    assert_eq!(code(&read), codes::LIMIT);
    let delivered = f
        .backend
        .stream_read_group(&long(), "g", "c", 1, LONG_WAIT)
        .await;
    assert_eq!(code(&delivered), codes::LIMIT);
}

/// `XGROUP CREATE`.
async fn a_group_on_an_overlong_key_is_rejected(f: Fixture) {
    for key in [long(), "k".repeat(MAX_NAME_BYTES + 1)] {
        assert_eq!(
            code(&f.backend.stream_create_group(&key, "g", "0").await),
            codes::LIMIT
        );
    }
}

/// And no stream is created.
async fn an_overlong_group_name_is_rejected(f: Fixture) {
    let key = f.key();
    assert_eq!(
        code(&f.backend.stream_create_group(&key, &long(), "0").await),
        codes::LIMIT
    );
    assert_eq!(f.read(&key, "0").await.unwrap(), []);
}

/// `XREADGROUP`: stream, group and consumer.
async fn a_group_read_with_an_overlong_name_is_rejected(f: Fixture) {
    let (key, long) = (f.key(), long());
    f.backend.stream_create_group(&key, "g", "0").await.unwrap();
    assert_eq!(code(&f.read_group_now(&long, "g", "c").await), codes::LIMIT);
    assert_eq!(
        code(&f.read_group_now(&key, &long, "c").await),
        codes::LIMIT
    );
    assert_eq!(
        code(&f.read_group_now(&key, "g", &long).await),
        codes::LIMIT
    );
}

/// `XACK`: stream and group.
async fn an_acknowledgement_with_an_overlong_name_is_rejected(f: Fixture) {
    let (key, long, ids) = (f.key(), long(), ["1-1".to_owned()]);
    assert_eq!(
        code(&f.backend.stream_ack(&long, "g", &ids).await),
        codes::LIMIT
    );
    assert_eq!(
        code(&f.backend.stream_ack(&key, &long, &ids).await),
        codes::LIMIT
    );
}

/// `XADD`. The rejected one adds nothing.
async fn an_add_of_too_many_fields_is_rejected_and_one_of_the_most_is_read(f: Fixture) {
    let key = f.key();
    let fields = |count: usize| vec![(String::new(), String::new()); count];
    let rejected = f.backend.stream_add(&key, fields(MAX_FIELDS + 1), None);
    assert_eq!(code(&rejected.await), codes::LIMIT);
    let most = fields(MAX_FIELDS);
    let added = f.backend.stream_add(&key, most.clone(), None);
    let id = added.await.unwrap();
    let entries = f.backend.stream_read_latest(&key, 2).await.unwrap();
    assert!(entries == [(id, most)], "{} entries", entries.len());
}

/// `XACK`.
async fn an_acknowledgement_of_too_many_ids_is_rejected_and_one_of_the_most_is_not(f: Fixture) {
    let key = f.key();
    f.backend.stream_create_group(&key, "g", "0").await.unwrap();
    let mut ids = vec!["1-1".to_owned(); MAX_IDS];
    f.backend.stream_ack(&key, "g", &ids).await.unwrap();
    ids.push("1-1".to_owned());
    let rejected = f.backend.stream_ack(&key, "g", &ids).await;
    assert_eq!(code(&rejected), codes::LIMIT);
}

/// Bytes of UTF-8, not characters.
async fn the_limit_counts_bytes(f: Fixture) {
    let key = "é".repeat(MAX_NAME_BYTES / 2 + 1);
    assert!(key.chars().count() < MAX_NAME_BYTES);
    assert_eq!(code(&f.read(&key, "0").await), codes::LIMIT);
}

/// By every operation.
async fn names_of_the_maximum_length_are_accepted(f: Fixture) {
    let key = f.key();
    let key = format!("{key}{}", "k".repeat(MAX_NAME_BYTES - key.len()));
    assert_eq!(key.len(), MAX_NAME_BYTES);
    let name = "é".repeat(MAX_NAME_BYTES / 2);
    let id = f.add(&key, "1").await.unwrap();
    f.backend
        .stream_create_group(&key, &name, "0")
        .await
        .unwrap();
    assert_eq!(
        ids(&f.read_group_now(&key, &name, &name).await.unwrap()),
        [&id]
    );
    f.backend
        .stream_ack(&key, &name, std::slice::from_ref(&id))
        .await
        .unwrap();
    assert_eq!(
        ids(&f.backend.stream_read_latest(&key, 1).await.unwrap()),
        [&id]
    );
    let wait = f
        .backend
        .stream_read(&key, "0", 1, LONG_WAIT)
        .await
        .unwrap();
    assert_eq!(ids(&wait), [&id]);
}

/// Calls sent before and after it succeed.
async fn a_rejection_does_not_affect_other_calls(f: Fixture) {
    let (key, long) = (f.key(), long());
    let (first, rejected, second) =
        futures_util::future::join3(f.add(&key, "1"), f.add(&long, "2"), f.add(&key, "3")).await;
    assert_eq!(code(&rejected), codes::LIMIT);
    let added = [first.unwrap(), second.unwrap()];
    assert_eq!(ids(&f.read(&key, "0").await.unwrap()), added);
}

/// Whatever could be added can be read.
async fn an_entry_beyond_the_maximum_size_is_rejected_and_the_largest_is_read(f: Fixture) {
    let key = f.key();
    let largest = MAX_ENTRY_BYTES - FIELD_BYTES - "value".len();
    let rejected = f.add(&key, &"v".repeat(largest + 1)).await;
    assert_eq!(code(&rejected), codes::LIMIT);
    let id = f.add(&key, &"v".repeat(largest)).await.unwrap();
    let read = f.read(&key, "0").await.unwrap();
    assert_eq!(ids(&read), [&id]);
    assert_eq!(read[0].1[0].1.len(), largest);
}
