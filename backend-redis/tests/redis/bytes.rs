//! Names and values that other programs wrote, and that are not UTF-8.

use redis::FromRedisValue;
use streamgate_protocol::{ByteString, Entry, EntryOperations, PendingEntries, PendingQuery};
use streamgate_test_support::RedisVersion;

use crate::fixture::Fixture;

const STREAM: &[u8] = b"s\xff\xfe\0\x80";
const GROUP: &[u8] = b"g\xff";
const CONSUMER: &[u8] = b"\xffc";

async fn direct<T: FromRedisValue>(fixture: &Fixture, words: &[&[u8]]) -> T {
    let mut command = redis::Cmd::new();
    words.iter().for_each(|word| {
        command.arg(*word);
    });
    let mut connection = fixture.direct.clone();
    command.query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_consumer_that_redis_made_is_listed_its_entries_are_claimed_and_it_is_removed() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let streams = &fixture.streams;
    let value: &[u8] = b"\xff\xfe\0\x80";
    for id in [b"1-0", b"2-0"] {
        let _: String = direct(&fixture, &[b"XADD", STREAM, id, b"n\xff", value]).await;
    }
    let _: () = direct(&fixture, &[b"XGROUP", b"CREATE", STREAM, GROUP, b"0"]).await;
    let read: &[&[u8]] = &[
        b"XREADGROUP",
        b"GROUP",
        GROUP,
        CONSUMER,
        b"STREAMS",
        STREAM,
        b">",
    ];
    let _: redis::Value = direct(&fixture, read).await;

    let consumers = streams.list_consumers(STREAM, GROUP).await.unwrap();
    assert_eq!(consumers.len(), 1);
    assert_eq!(
        (&consumers[0].name[..], consumers[0].pending),
        (CONSUMER, 2)
    );
    let query = PendingQuery::default().consumer(CONSUMER);
    let pending = streams.list_pending(STREAM, GROUP, query).await.unwrap();
    assert_eq!(pending.len(), 2);

    let claim = streams.claim_entries(STREAM, GROUP, "ann", 0, "0-0", 1);
    let entry = |id| Entry::new(id, [(&b"n\xff"[..], value)]);
    assert_eq!(claim.await.unwrap().entries, [entry("1-0")]);
    let removed = streams.remove_group_consumer(STREAM, GROUP, CONSUMER, "ann");
    assert_eq!(removed.await, Ok(1));
    let left: Vec<redis::Value> = direct(&fixture, &[b"XINFO", b"CONSUMERS", STREAM, GROUP]).await;
    assert_eq!(left.len(), 1, "only ann is left");
}

/// The operations of text list it too, under its own name.
#[tokio::test]
async fn a_consumer_of_a_stream_of_text_is_listed_by_its_bytes() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let _: () = direct(
        &fixture,
        &[b"XGROUP", b"CREATE", b"s", b"g", b"0", b"MKSTREAM"],
    )
    .await;
    let create: &[&[u8]] = &[b"XGROUP", b"CREATECONSUMER", b"s", b"g", CONSUMER];
    let _: i64 = direct(&fixture, create).await;
    let consumers = fixture.streams.consumers("s", "g").await.unwrap();
    let names: Vec<_> = consumers.into_iter().map(|it| it.name).collect();
    assert_eq!(names, [ByteString::from(CONSUMER)]);
}
