//! A thousand readers at once.

use futures_util::future::join_all;
use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_protocol::Operation;
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, entries, read, values, within_limit};

const READERS: usize = 1_000;

async fn start_reads<'a>(fixture: &'a Fixture, streams: &[String]) -> Vec<Progress<'a>> {
    let operations: Vec<Operation<'_>> = streams
        .iter()
        .map(|stream| read(stream, "$", 1, Some(0)))
        .collect();
    let waiting = fixture
        .streams
        .perform(operations, PerformOptions::default())
        .await;
    assert!(
        waiting
            .iter()
            .all(|progress| matches!(progress, Progress::Waiting { .. }))
    );
    waiting
}

async fn all_receive(waiting: Vec<Progress<'_>>, value: &str) {
    for result in within_limit(join_all(waiting.into_iter().map(Progress::finish))).await {
        assert_eq!(values(&entries(result).0), [value]);
    }
}

#[tokio::test]
async fn a_thousand_readers_of_one_stream_take_one_connection_and_one_read() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let waiting = start_reads(&fixture, &vec!["s".to_owned(); READERS]).await;
        assert_eq!(fixture.connections().await, 1);
        fixture.sync_with_hub().await;
        // Their first attempts armed the stream, so the hub has not read it.
        let reads = fixture.calls("xread").await;
        assert_eq!(reads, 0);
        fixture.add("s", "for all").await;
        all_receive(waiting, "for all").await;
        assert_eq!(fixture.calls("xread").await, reads + 1);
    }
}

#[tokio::test]
async fn a_thousand_readers_of_a_thousand_streams_take_one_connection() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let streams: Vec<String> = (0..READERS).map(|n| format!("stream-{n}")).collect();
        let waiting = start_reads(&fixture, &streams).await;
        assert_eq!(fixture.connections().await, 1);
        for stream in &streams {
            fixture.add(stream, "mine").await;
        }
        all_receive(waiting, "mine").await;
        assert_eq!(fixture.connections().await, 1);
    }
}

#[tokio::test]
async fn the_connection_ends_with_the_last_clone() {
    let Fixture {
        server,
        streams,
        direct,
    } = Fixture::new(RedisVersion::V7_0).await;
    let clone = streams.clone();
    let looking = Fixture {
        streams: streamgate_redis::RedisStreams::connect(&server.url())
            .await
            .unwrap(),
        server,
        direct,
    };
    drop(streams);
    assert_eq!(looking.connections().await, 2);
    drop(clone);
    within_limit(async {
        while looking.connections().await != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
