//! What a group's consumers hold.

use futures_util::StreamExt;
use streamgate_backend::Backend;
use streamgate_protocol::{
    ConsumeOptions, Operation, PendingEntries, PendingQuery, StreamingBackend, SubscribingBackend,
};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, soon};

/// May do what the documentation says that it takes, and what a connection does.
const BOB: &str = "--user bob on nopass ~* &* -@all +ping +hello +client +select +xadd +xreadgroup \
                   +xread +xrevrange +xgroup +xack +xpending +xautoclaim +eval +xclaim +time +xrange";

async fn held_by_ann(fixture: &Fixture, n: usize) {
    let streams = &fixture.streams;
    streams.stream_create_group("s", "g", "0").await.unwrap();
    for i in 0..n {
        fixture.add("s", &i.to_string()).await;
    }
    let read = streams.stream_read_group("s", "g", "ann", n, None);
    assert_eq!(read.await.unwrap().len(), n);
}

#[tokio::test]
async fn what_an_access_list_must_allow_is_enough() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::as_bob(version, BOB).await;
        held_by_ann(&fixture, 3).await;
        let streams = &fixture.streams;
        assert_eq!(streams.pending_summary("s", "g").await.unwrap().count, 3);
        let all = streams.pending("s", "g", PendingQuery::default());
        assert_eq!(all.await.unwrap().len(), 3);
        let claimed = streams.claim("s", "g", "bob", 0, "0-0", 1).await.unwrap();
        assert_eq!(claimed.entries.len(), 1);
        assert_eq!(streams.remove_consumer("s", "g", "ann", "zoe").await, Ok(2));
        let options = ConsumeOptions {
            claim_after_ms: Some(1),
            max_deliveries: Some(2),
            dead_letter: Some("dead".to_owned()),
            ..ConsumeOptions::default()
        };
        let mut deliveries = streams.consume("s", "g", "amy", options);
        // Those that have been pending for long enough, a step at a time.
        let mut given = 0;
        while given < 2 {
            given += soon(deliveries.next()).await.unwrap().unwrap().len();
        }
        assert_eq!(given, 2);
        let letter = soon(streams.stream_read("dead", "0", 1, Some(9_000)));
        tokio::select! {
            letter = letter => assert_eq!(letter.unwrap().len(), 1),
            given = deliveries.next() => panic!("it was given {given:?}"),
        }
    }
}

#[tokio::test]
async fn a_removal_of_one_part_is_over_before_what_is_asked_behind_it() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    held_by_ann(&fixture, 99).await;
    let removal = Operation::RemoveConsumer {
        stream: "s".into(),
        group: "g".into(),
        consumer: "ann".into(),
        new_owner: "bob".into(),
    };
    let summary = Operation::PendingSummary {
        stream: "s".into(),
        group: "g".into(),
    };
    let mut progress = fixture.streams.perform(vec![removal, summary]).await;
    let summary = progress.remove(1).finish().await.unwrap();
    let consumers = summary.into_summary().unwrap().consumers;
    assert_eq!(consumers, [("bob".to_owned(), 99)]);
    let removed = progress.remove(0).finish().await.unwrap();
    assert_eq!(removed.into_removed(), Ok(99));
}

#[tokio::test]
async fn a_removal_that_loses_redis_half_way_is_unknown() {
    let mut fixture = Fixture::new(RedisVersion::V7_0).await;
    held_by_ann(&fixture, 250).await;
    let removal = Operation::RemoveConsumer {
        stream: "s".into(),
        group: "g".into(),
        consumer: "ann".into(),
        new_owner: "bob".into(),
    };
    let streams = fixture.streams.clone();
    let going_on = streams.perform(vec![removal]).await.remove(0);
    let summary = streams.pending_summary("s", "g").await.unwrap();
    let half = [("ann".to_owned(), 150), ("bob".to_owned(), 100)];
    assert_eq!(summary.consumers, half, "what was not begun is not done");
    fixture.server.kill().unwrap();
    let lost = soon(going_on.finish()).await.unwrap_err();
    assert_eq!(lost.code(), "UNKNOWN_OUTCOME");
}
