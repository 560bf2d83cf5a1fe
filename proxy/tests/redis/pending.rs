//! What a group's consumers hold.

use std::time::Duration;

use futures_util::StreamExt;
use streamgate_protocol::{
    ConsumeOptions, ConsumerGroups, Operation, PendingQuery, StreamingBackend, SubscribingBackend,
};
use streamgate_proxy::Backend;
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
        let given = soon(deliveries.next()).await.unwrap().unwrap();
        assert_eq!(given.len(), 2, "and one goes to the dead letters");
        assert_eq!(fixture.ask::<u64>("XLEN dead").await.unwrap(), 1);
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
        heir: "bob".into(),
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
async fn a_removal_that_loses_redis_half_way_is_unknown_and_can_be_finished() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    held_by_ann(&fixture, 250).await;
    let streams = &fixture.streams;
    // The first part is done, and the next is not answered any more.
    let removal = Operation::RemoveConsumer {
        stream: "s".into(),
        group: "g".into(),
        consumer: "ann".into(),
        heir: "bob".into(),
    };
    let going_on = streams.perform(vec![removal]).await.remove(0);
    fixture.ask::<u64>("CLIENT KILL TYPE normal SKIPME yes").await.unwrap();
    let lost = soon(going_on.finish()).await.unwrap_err();
    assert_eq!(lost.code(), "UNKNOWN_OUTCOME");
    let finished = async {
        loop {
            match streams.remove_consumer("s", "g", "ann", "bob").await {
                Ok(handed_over) => return handed_over,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    assert!(soon(finished).await <= 150);
    let summary = streams.pending_summary("s", "g").await.unwrap();
    assert_eq!(summary.consumers, [("bob".to_owned(), 250)]);
}
