//! Pending entries: access lists and the removal of consumers.

use futures_util::StreamExt;
use streamgate_backend::Backend;
use streamgate_protocol::{
    ConsumeOptions, Operation, PendingEntries, PendingQuery, StreamEntry, StreamingBackend,
    SubscribingBackend,
};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, within_limit};

/// A user that may do what the documentation lists for pending entries, and no more.
const ALLOWED: &str = "--user app on nopass ~* &* -@all +ping +hello +client +select +xadd +xreadgroup \
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
async fn the_documented_access_list_suffices() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::with_user(version, ALLOWED).await;
        held_by_ann(&fixture, 3).await;
        let streams = &fixture.streams;
        assert_eq!(streams.pending_summary("s", "g").await.unwrap().count, 3);
        let all = streams.pending("s", "g", PendingQuery::default());
        assert_eq!(all.await.unwrap().len(), 3);
        let claimed = streams.claim("s", "g", "bob", 0, "0-0", 1).await.unwrap();
        assert_eq!(claimed.entries.len(), 1);
        assert_eq!(streams.remove_consumer("s", "g", "ann", "zoe").await, Ok(2));
        let options = ConsumeOptions::default()
            .claim_after_ms(1)
            .dead_letter("dead", 2);
        let mut deliveries = streams.consume("s", "g", "amy", options);
        // Each step reclaims those that are idle for long enough.
        let mut given = 0;
        while given < 2 {
            given += within_limit(deliveries.next())
                .await
                .unwrap()
                .unwrap()
                .len();
        }
        assert_eq!(given, 2);
        let dead_letters = within_limit(streams.stream_read("dead", "0", 1, Some(9_000)));
        tokio::select! {
            found = dead_letters => assert_eq!(found.unwrap().len(), 1),
            given = deliveries.next() => panic!("it received {given:?}"),
        }
    }
}

#[tokio::test]
async fn a_removal_of_one_page_completes_before_later_operations() {
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
async fn a_removal_that_loses_redis_midway_has_an_unknown_outcome() {
    let mut fixture = Fixture::new(RedisVersion::V7_0).await;
    held_by_ann(&fixture, 250).await;
    let removal = Operation::RemoveConsumer {
        stream: "s".into(),
        group: "g".into(),
        consumer: "ann".into(),
        new_owner: "bob".into(),
    };
    let streams = fixture.streams.clone();
    let removing = streams.perform(vec![removal]).await.remove(0);
    let summary = streams.pending_summary("s", "g").await.unwrap();
    let half = [("ann".to_owned(), 150), ("bob".to_owned(), 100)];
    assert_eq!(
        summary.consumers, half,
        "only the first page was transferred"
    );
    fixture.server.kill().unwrap();
    let lost = within_limit(removing.finish()).await.unwrap_err();
    assert_eq!(lost.code(), "UNKNOWN_OUTCOME");
}

async fn read_pending(fixture: &Fixture, count: u64) -> Vec<StreamEntry> {
    let read = Operation::ReadPending {
        stream: "s".into(),
        group: "g".into(),
        consumer: "ann".into(),
        after: "0-0".into(),
        count,
    };
    let read = fixture.streams.perform(vec![read]).await.remove(0);
    within_limit(read.finish())
        .await
        .unwrap()
        .into_entries()
        .unwrap()
}

#[tokio::test]
async fn deleted_pending_entries_are_read_without_fields() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        held_by_ann(&fixture, 3).await;
        let before = read_pending(&fixture, 0).await;
        let _: u64 = fixture
            .command(&format!("XDEL s {}", before[1].0))
            .await
            .unwrap();
        let after = read_pending(&fixture, 0).await;
        assert_eq!(after[1], (before[1].0.clone(), vec![]));
        assert_eq!([&after[0], &after[2]], [&before[0], &before[2]]);
        let _: u64 = fixture.command("DEL s").await.unwrap();
        fixture
            .streams
            .stream_create_group("s", "g", "0")
            .await
            .unwrap();
        assert_eq!(read_pending(&fixture, 0).await, []);
    }
}

#[tokio::test]
async fn a_read_of_pending_entries_writes_nothing_to_redis() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    held_by_ann(&fixture, 2_500).await;
    let writes = fixture.calls("xreadgroup").await;
    assert_eq!(read_pending(&fixture, 0).await.len(), 2_500);
    assert_eq!(fixture.calls("xreadgroup").await, writes);
    assert_eq!(fixture.calls("xpending").await, 3);
    assert_eq!(fixture.calls("xrange").await, 2_500);
    assert_eq!(read_pending(&fixture, 1_200).await.len(), 1_200);
    assert_eq!(fixture.calls("xpending").await, 5);
}

#[tokio::test]
async fn a_read_of_large_pending_entries_ends_before_it_is_too_large_for_a_reply() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let streams = &fixture.streams;
    streams.stream_create_group("s", "g", "0").await.unwrap();
    let megabyte = "x".repeat(1024 * 1024);
    for _ in 0..20 {
        fixture.add("s", &megabyte).await;
    }
    for _ in 0..20 {
        let read = streams.stream_read_group("s", "g", "ann", 1, None);
        assert_eq!(read.await.unwrap().len(), 1);
    }
    let found = read_pending(&fixture, 0).await;
    assert!((8..12).contains(&found.len()), "{} entries", found.len());
}
