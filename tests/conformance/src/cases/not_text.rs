//! What Redis holds and is not UTF-8 is delivered with U+FFFD for what cannot be decoded, and
//! wedges nobody.

use futures_util::future::join;
use streamgate_protocol::StreamEntry;

use crate::fixture::{Fixture, LONG_WAIT, DirectRedis, started, ids};

cases![
    ;
    needs_redis:
    a_read_delivers_it,
    reading_the_latest_delivers_it,
    a_group_read_delivers_it,
    a_waiting_reader_gets_it_and_goes_on,
    a_waiting_consumer_gets_it_and_goes_on,
    what_is_valid_beside_it_stays,
];

const BYTES: &[u8] = b"a\xff\xfeb\xc3";

/// Adds an entry whose names and values are not UTF-8, and returns it as it should come out.
async fn add(redis: &DirectRedis, key: &str) -> StreamEntry {
    let words: &[&[u8]] =
        &[b"XADD", key.as_bytes(), b"*", BYTES, b"value", b"name", b"\x80", b"", BYTES];
    let id: String = redis.send(words).await.unwrap();
    let text = "a\u{fffd}\u{fffd}b\u{fffd}";
    let fields = [(text, "value"), ("name", "\u{fffd}"), ("", text)];
    (id, crate::fixture::pairs(&fields))
}

/// XREAD.
async fn a_read_delivers_it(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let entry = add(&redis, &key).await;
    assert_eq!(f.read(&key, "0").await.unwrap(), [entry]);
}

/// XREVRANGE.
async fn reading_the_latest_delivers_it(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let entry = add(&redis, &key).await;
    assert_eq!(f.backend.stream_read_latest(&key, 1).await.unwrap(), [entry]);
}

/// XREADGROUP.
async fn a_group_read_delivers_it(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let entry = add(&redis, &key).await;
    f.backend.stream_create_group(&key, "group", "0").await.unwrap();
    assert_eq!(f.read_group_now(&key, "group", "consumer").await.unwrap(), [entry]);
}

/// The wait ends with it, and the next entry is reached.
async fn a_waiting_reader_gets_it_and_goes_on(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let wait = started(f.backend.stream_read(&key, "0", 1, LONG_WAIT));
    let (read, entry) = join(wait, add(&redis, &key)).await;
    assert_eq!(read.unwrap(), std::slice::from_ref(&entry));
    let next = started(f.backend.stream_read(&key, &entry.0, 1, LONG_WAIT));
    let (read, id) = join(next, f.add(&key, "next")).await;
    assert_eq!(ids(&read.unwrap()), [id.unwrap()]);
}

/// The same for a consumer, who can acknowledge it.
async fn a_waiting_consumer_gets_it_and_goes_on(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    let wait = started(f.backend.stream_read_group(&key, "group", "c", 1, LONG_WAIT));
    let (taken, entry) = join(wait, add(&redis, &key)).await;
    assert_eq!(taken.unwrap(), std::slice::from_ref(&entry));
    f.backend.stream_ack(&key, "group", &[entry.0]).await.unwrap();
    let next = started(f.backend.stream_read_group(&key, "group", "c", 1, LONG_WAIT));
    let (taken, id) = join(next, f.add(&key, "next")).await;
    assert_eq!(ids(&taken.unwrap()), [id.unwrap()]);
}

/// Entries before and behind are not touched.
async fn what_is_valid_beside_it_stays(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let before = f.add(&key, "é🦀").await.unwrap();
    let entry = add(&redis, &key).await;
    let behind = f.add(&key, "漢").await.unwrap();
    let valid = |id, value: &str| (id, vec![("value".to_owned(), value.to_owned())]);
    let expected = [valid(before, "é🦀"), entry, valid(behind, "漢")];
    assert_eq!(f.read(&key, "0").await.unwrap(), expected);
}
