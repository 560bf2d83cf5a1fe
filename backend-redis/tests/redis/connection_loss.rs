//! Redis restarts, hangs, closes connections or refuses writes.

use std::time::Duration;

use futures_util::FutureExt;
use streamgate_protocol::{EntryOperations, StreamingBackend};
use streamgate_redis::{RESPONSE_TIMEOUT, RedisStreams};
use streamgate_test_support::RedisVersion;
use streamgate_test_support::relay::{Direction, Flow, Relay, Scope};

use crate::fixture::{
    Fixture, connect_directly, entries, timed, values, wait_for_availability, within_limit,
};

/// Adds as soon as Redis is available. Until then an add may only fail with `DISCONNECTED`.
async fn added(fixture: &Fixture, stream: &str) -> String {
    within_limit(async {
        loop {
            let fields = vec![("f".to_owned(), "back".to_owned())];
            match fixture.streams.stream_add(stream, fields, None).await {
                Ok(id) => return id,
                Err(error) => assert_eq!(error.code(), "DISCONNECTED"),
            }
            wait_for_availability(&fixture.streams, None).await;
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
        let waiting = streams.read_entries("s", "$", 0, Some(0));
        let other = streams.read_entries("other", "$", 0, Some(20_000));
        let restart = async {
            // The two waits are polled before this, so the hub knows them afterwards.
            fixture.sync_with_hub().await;
            fixture.server.restart().unwrap();
            fixture.direct = connect_directly(&fixture.server).await;
            let _: String = fixture.command("XADD s * f after").await.unwrap();
            added(&fixture, "other").await;
        };
        let (waited, other, ()) =
            within_limit(async { tokio::join!(waiting, other, restart) }).await;
        assert_eq!(values(&waited.unwrap()), ["after"]);
        assert_eq!(values(&other.unwrap()), ["back"]);
    }
}

#[tokio::test]
pub(crate) async fn calls_fail_at_once_while_redis_is_down() {
    let mut fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    let streams = fixture.streams.clone();
    let (reader, consumer) = (
        streams.read_entries("s", "$", 0, Some(800)),
        streams.read_group_entries("s", "g", "c", 1, Some(800)),
    );
    let killing = async {
        fixture.sync_with_hub().await;
        fixture.server.kill().unwrap();
        // A command under way may notice it first.
        within_limit(async { while streams.read_latest_entries("s", 1).await.is_ok() {} }).await;
        let add = streams.stream_add("s", vec![("f".into(), "v".into())], None);
        let (add, took) = timed(add).await;
        assert_eq!(add.unwrap_err().code(), "DISCONNECTED");
        assert!(took < 1_000, "{took}");
        let ack = streams.stream_ack("s", "g", &["1-1".to_owned()]).await;
        assert_eq!(ack.unwrap_err().code(), "DISCONNECTED");
    };
    let (reader, consumer, ()) =
        within_limit(async { tokio::join!(reader, consumer, killing) }).await;
    assert_eq!(reader.unwrap_err().code(), "DISCONNECTED");
    assert_eq!(consumer.unwrap_err().code(), "DISCONNECTED");
    fixture.server.restart().unwrap();
    added(&fixture, "s").await;
}

#[tokio::test]
pub(crate) async fn a_killed_connection_is_replaced_and_nothing_is_missed() {
    let fixture = Fixture::new(RedisVersion::V8_2).await;
    let waiting = fixture.start_read("s", "$", 9_000).await.finish();
    fixture.sync_with_hub().await;
    // In one transaction, so that the entry is added while the backend has no connection.
    let _: () = redis::pipe()
        .atomic()
        .cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .cmd("XADD")
        .arg(&["s", "*", "f", "meanwhile"])
        .exec_async(&mut fixture.direct.clone())
        .await
        .unwrap();
    assert_eq!(
        values(&entries(within_limit(waiting).await).0),
        ["meanwhile"]
    );
    added(&fixture, "s").await;
    assert_eq!(fixture.connections().await, 1);
}

#[tokio::test]
pub(crate) async fn a_hanging_redis_is_noticed_and_waits_survive() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    let waiting = fixture.start_read("s", "$", 0).await.finish();
    let consumer = fixture.start_group_read("c", 1, 0).await.finish();
    fixture
        .start_group_read("d", 1, 50)
        .await
        .finish()
        .await
        .unwrap();
    fixture.server.pause().unwrap();
    let (read, add) = tokio::join!(
        timed(fixture.streams.read_entries("s", "0", 1, None)),
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
    let (waited, consumed) = within_limit(async { tokio::join!(waiting, consumer) }).await;
    assert_eq!(values(&entries(waited).0), ["back"]);
    assert_eq!(values(&entries(consumed).0), ["back"]);
}

#[tokio::test]
pub(crate) async fn a_group_wait_survives_a_redis_that_refuses_writes() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    let consumer = fixture.start_group_read("c", 1, 0).await.finish();
    fixture
        .start_group_read("d", 1, 50)
        .await
        .finish()
        .await
        .unwrap();
    // A replica refuses group reads with READONLY, because they are writes.
    let _: () = fixture.command("REPLICAOF 127.0.0.1 1").await.unwrap();
    let refused = fixture
        .streams
        .read_group_entries("s", "h", "c", 1, None)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "READONLY");
    // One refusal is that of the read above, the next that of the hub.
    let refused_twice = async { while fixture.rejected_calls("xreadgroup").await < 2 {} };
    let mut consumer = consumer.boxed();
    tokio::select! {
        ended = &mut consumer => panic!("the wait has ended: {ended:?}"),
        () = within_limit(refused_twice) => {}
    }
    drop(consumer);
    let late = fixture
        .streams
        .read_group_entries("s", "g", "e", 1, Some(100));
    assert_eq!(within_limit(late).await.unwrap_err().code(), "READONLY");
    let _: () = fixture.command("REPLICAOF NO ONE").await.unwrap();
    let back = fixture.start_group_read("f", 1, 9_000).await.finish();
    fixture.add("s", "1").await;
    assert_eq!(values(&entries(within_limit(back).await).0), ["1"]);
}

/// Redis has not read the add yet when its answer is overdue. It must not run after whatever is
/// sent later.
#[tokio::test]
async fn a_command_of_a_connection_that_was_given_up_never_runs_later() {
    for version in RedisVersion::ALL {
        let mut fixture = Fixture::new(version).await;
        let port = fixture.server.port();
        let relay = Relay::start(([127, 0, 0, 1], port).into()).await.unwrap();
        let builder = RedisStreams::builder(&format!("redis://{}", relay.address()));
        let builder = builder.response_timeout(Duration::from_millis(200));
        fixture.streams = builder.connect().await.unwrap();
        relay.set(Scope::Nth(0), Direction::ToTarget, Flow::Stall);
        let fields = vec![("f".to_owned(), "late".to_owned())];
        let late = within_limit(fixture.streams.stream_add("s", fields, None)).await;
        assert_eq!(late.unwrap_err().code(), "UNKNOWN_OUTCOME");
        added(&fixture, "s").await;
        relay.clear_faults();
        let settled = relay.until(|counts| counts.open + counts.half_open == 1);
        settled.await.unwrap();
        let entries = fixture.streams.read_entries("s", "0", 0, None).await;
        assert_eq!(values(&entries.unwrap()), ["back"]);
    }
}
