//! A Redis that tracks fewer keys than the backend watches.

use futures_util::future::join_all;
use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_protocol::{SubscribingBackend, TailFrom};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::fixture::{
    Fixture, connect_directly, entries, first_position, next_values, read, values, within_limit,
};

const STREAMS: usize = 50;

/// Looks at all streams in a second: ten at each is the least, and what comes before the pauses
/// have grown is some more. Without pauses it would be many thousands.
const MAX_READS: u64 = 2_000;

#[tokio::test]
async fn a_small_tracking_table_costs_time_but_no_entries() {
    for version in RedisVersion::ALL {
        let config = ["--tracking-table-max-keys", "10"];
        let server = RedisServer::start_with(version, &config).unwrap();
        let fixture = Fixture {
            streams: RedisStreams::connect(&server.url()).await.unwrap(),
            direct: connect_directly(&server).await,
            server,
        };
        let names: Vec<String> = (0..STREAMS).map(|n| format!("stream-{n}")).collect();
        let (followed, waited_for) = names.split_at(STREAMS / 2);
        let mut tails = Vec::new();
        for name in followed {
            let mut tail = fixture.streams.tail(name, TailFrom::Now);
            first_position(&mut tail).await;
            fixture.add(name, "first").await;
            assert_eq!(next_values(&mut tail).await, ["first"]);
            tails.push(tail);
        }
        let reads = waited_for.iter().map(|name| read(name, "$", 1, Some(0)));
        let waiting = fixture
            .streams
            .perform(reads.collect(), PerformOptions::default())
            .await;
        // Long enough for every pause to be the longest.
        let wait_for_a_second = async || {
            let wait = fixture.start_read("other", "$", 1_000).await;
            wait.finish().await.unwrap();
        };
        wait_for_a_second().await;
        let reads_so_far = async || fixture.calls("xrange").await + fixture.calls("xread").await;
        let before = reads_so_far().await;
        wait_for_a_second().await;
        let reads = reads_so_far().await - before;
        assert!(reads < MAX_READS, "{reads}");
        for name in &names {
            fixture.add(name, "second").await;
        }
        for tail in &mut tails {
            assert_eq!(next_values(tail).await, ["second"]);
        }
        let ended = within_limit(join_all(waiting.into_iter().map(Progress::finish))).await;
        for result in ended {
            assert_eq!(values(&entries(result).0), ["second"]);
        }
    }
}
