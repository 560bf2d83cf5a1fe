//! Redis goes away, hangs, or refuses.

use std::time::Duration;

use streamgate_protocol::StreamingBackend;
use streamgate_redis::RESPONSE_TIMEOUT;
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, direct, entries, soon, timed, values};

/// The first add that succeeds; until then nothing may be said but that Redis is away.
async fn added(fixture: &Fixture, stream: &str) -> String {
    soon(async {
        loop {
            let fields = vec![("f".to_owned(), "back".to_owned())];
            match fixture.streams.stream_add(stream, fields, None).await {
                Ok(id) => return id,
                Err(error) => assert_eq!(error.code(), "DISCONNECTED"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

#[tokio::test]
pub(crate) async fn readers_wait_through_a_restart_of_redis() {
    for version in RedisVersion::ALL {
        let mut fixture = Fixture::new(version).await;
        fixture.add("s", "before").await;
        let streams = fixture.streams.clone();
        let waiting = streams.stream_read("s", "$", 0, Some(0));
        let other = streams.stream_read("other", "$", 0, Some(20_000));
        let restart = async {
            // The two waits are first polled before this is, and are known to Redis after this.
            fixture
                .start_read("third", "$", 50)
                .await
                .finish()
                .await
                .unwrap();
            fixture.server.restart().unwrap();
            fixture.direct = direct(&fixture.server).await;
            let _: String = fixture.ask("XADD s * f after").await.unwrap();
            added(&fixture, "other").await;
        };
        let (waited, other, ()) = soon(async { tokio::join!(waiting, other, restart) }).await;
        assert_eq!(values(&waited.unwrap()), ["after"]);
        assert_eq!(values(&other.unwrap()), ["back"]);
    }
}

#[tokio::test]
pub(crate) async fn while_redis_is_away_nothing_is_done_and_the_caller_is_told() {
    let mut fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    let streams = fixture.streams.clone();
    let (reader, consumer) = (
        streams.stream_read("s", "$", 0, Some(800)),
        streams.stream_read_group("s", "g", "c", 1, Some(800)),
    );
    let killing = async {
        fixture
            .start_read("other", "$", 50)
            .await
            .finish()
            .await
            .unwrap();
        fixture.server.kill().unwrap();
        // The news may come while a command is under way.
        soon(async { while streams.stream_read_latest("s", 1).await.is_ok() {} }).await;
        let add = streams.stream_add("s", vec![("f".into(), "v".into())], None);
        let (add, took) = timed(add).await;
        assert_eq!(add.unwrap_err().code(), "DISCONNECTED");
        assert!(took < 1_000, "{took}");
        let ack = streams.stream_ack("s", "g", &["1-1".to_owned()]).await;
        assert_eq!(ack.unwrap_err().code(), "DISCONNECTED");
    };
    let (reader, consumer, ()) = soon(async { tokio::join!(reader, consumer, killing) }).await;
    assert_eq!(reader.unwrap_err().code(), "DISCONNECTED");
    assert_eq!(consumer.unwrap_err().code(), "DISCONNECTED");
    fixture.server.restart().unwrap();
    added(&fixture, "s").await;
}

#[tokio::test]
pub(crate) async fn a_killed_connection_is_replaced_and_nothing_is_missed() {
    let fixture = Fixture::new(RedisVersion::V8_2).await;
    let waiting = fixture.start_read("s", "$", 9_000).await.finish();
    fixture
        .start_read("other", "$", 50)
        .await
        .finish()
        .await
        .unwrap();
    // In one transaction, so that the entry comes when nobody is connected.
    let _: () = redis::pipe()
        .atomic()
        .cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .cmd("XADD")
        .arg(&["s", "*", "f", "meanwhile"])
        .exec_async(&mut fixture.direct.clone())
        .await
        .unwrap();
    assert_eq!(values(&entries(soon(waiting).await).0), ["meanwhile"]);
    added(&fixture, "s").await;
    assert_eq!(fixture.connections().await, 2);
}

#[tokio::test]
pub(crate) async fn a_redis_that_hangs_is_noticed_and_waits_outlive_it() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    let waiting = fixture.start_read("s", "$", 0).await.finish();
    let consumer = fixture.start_group("c", 1, 0).await.finish();
    fixture
        .start_group("d", 1, 50)
        .await
        .finish()
        .await
        .unwrap();
    fixture.server.pause().unwrap();
    let (read, add) = tokio::join!(
        timed(fixture.streams.stream_read("s", "0", 1, None)),
        timed(
            fixture
                .streams
                .stream_add("t", vec![("f".into(), "v".into())], None)
        ),
    );
    assert_eq!(read.0.unwrap_err().code(), "TIMEOUT");
    assert_eq!(add.0.unwrap_err().code(), "UNKNOWN_OUTCOME");
    let limit = RESPONSE_TIMEOUT.as_millis();
    for took in [read.1, add.1] {
        assert!((limit..limit + 1_000).contains(&took), "{took}");
    }
    fixture.server.resume().unwrap();
    added(&fixture, "s").await;
    let (waited, consumed) = soon(async { tokio::join!(waiting, consumer) }).await;
    assert_eq!(values(&entries(waited).0), ["back"]);
    assert_eq!(values(&entries(consumed).0), ["back"]);
}

#[tokio::test]
pub(crate) async fn a_wait_goes_on_while_redis_says_that_it_cannot_answer() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    let consumer = fixture.start_group("c", 1, 0).await.finish();
    fixture
        .start_group("d", 1, 50)
        .await
        .finish()
        .await
        .unwrap();
    // A replica of nothing: reading a group is a write, which it refuses with READONLY.
    let _: () = fixture.ask("REPLICAOF 127.0.0.1 1").await.unwrap();
    let refused = fixture
        .streams
        .stream_read_group("s", "h", "c", 1, None)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "READONLY");
    // Long enough for the group to be looked at.
    let still = tokio::time::timeout(Duration::from_millis(2_500), consumer);
    let Err(_) = still.await else {
        panic!("the wait has ended")
    };
    let late = fixture
        .streams
        .stream_read_group("s", "g", "e", 1, Some(100));
    assert_eq!(soon(late).await.unwrap_err().code(), "READONLY");
    let _: () = fixture.ask("REPLICAOF NO ONE").await.unwrap();
    let back = fixture.start_group("f", 1, 9_000).await.finish();
    fixture.add("s", "1").await;
    assert_eq!(values(&entries(soon(back).await).0), ["1"]);
}
