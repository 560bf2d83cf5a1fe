//! An entry with invalid UTF-8 is returned with U+FFFD in place of undecodable bytes, and blocks no
//! reader.

use futures_util::future::join;
use streamgate_protocol::StreamEntry;

use crate::fixture::{DirectRedis, Fixture, LONG_WAIT, ids, started};

cases![
    ;
    needs_redis:
    a_read_returns_it,
    reading_the_latest_returns_it,
    a_group_read_returns_it,
    a_waiting_read_returns_it_and_can_continue,
    a_waiting_group_read_returns_it_and_can_continue,
    valid_entries_around_it_are_unchanged,
];

const BYTES: &[u8] = b"a\xff\xfeb\xc3";

/// Adds an entry whose names and values are not UTF-8, and returns it as reads should.
async fn add_directly(redis: &DirectRedis, key: &str) -> StreamEntry {
    let words: &[&[u8]] = &[
        b"XADD",
        key.as_bytes(),
        b"*",
        BYTES,
        b"value",
        b"name",
        b"\x80",
        b"",
        BYTES,
    ];
    let id: String = redis.send(words).await.unwrap();
    let text = "a\u{fffd}\u{fffd}b\u{fffd}";
    let fields = [(text, "value"), ("name", "\u{fffd}"), ("", text)];
    (id, crate::fixture::pairs(&fields))
}

/// `XREAD`.
async fn a_read_returns_it(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let entry = add_directly(&redis, &key).await;
    assert_eq!(f.read(&key, "0").await.unwrap(), [entry]);
}

/// `XREVRANGE`.
async fn reading_the_latest_returns_it(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let entry = add_directly(&redis, &key).await;
    assert_eq!(
        f.backend.stream_read_latest(&key, 1).await.unwrap(),
        [entry]
    );
}

/// `XREADGROUP`.
async fn a_group_read_returns_it(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let entry = add_directly(&redis, &key).await;
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap();
    assert_eq!(
        f.read_group_now(&key, "group", "consumer").await.unwrap(),
        [entry]
    );
}

/// The next read returns the next entry.
async fn a_waiting_read_returns_it_and_can_continue(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "0", 1, LONG_WAIT));
    let (read, entry) = join(wait, add_directly(&redis, &key)).await;
    assert_eq!(read.unwrap(), std::slice::from_ref(&entry));
    let next = started(f.backend.stream_read(&key, &entry.0, 1, LONG_WAIT));
    let (read, id) = join(next, f.add(&key, "next")).await;
    assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
}

/// The consumer can acknowledge the entry.
async fn a_waiting_group_read_returns_it_and_can_continue(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    let wait = started(
        f.backend
            .stream_read_group(&key, "group", "c", 1, LONG_WAIT),
    );
    let (delivered, entry) = join(wait, add_directly(&redis, &key)).await;
    assert_eq!(delivered.unwrap(), std::slice::from_ref(&entry));
    f.backend
        .stream_ack(&key, "group", &[entry.0])
        .await
        .unwrap();
    let next = started(
        f.backend
            .stream_read_group(&key, "group", "c", 1, LONG_WAIT),
    );
    let (delivered, id) = join(next, f.add(&key, "next")).await;
    assert_eq!(ids(&delivered.unwrap()), [id.unwrap()]);
}

async fn valid_entries_around_it_are_unchanged(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let before = f.add(&key, "é🦀").await.unwrap();
    let entry = add_directly(&redis, &key).await;
    let after = f.add(&key, "漢").await.unwrap();
    let valid = |id, value: &str| (id, vec![("value".to_owned(), value.to_owned())]);
    let expected = [valid(before, "é🦀"), entry, valid(after, "漢")];
    assert_eq!(f.read(&key, "0").await.unwrap(), expected);
}
