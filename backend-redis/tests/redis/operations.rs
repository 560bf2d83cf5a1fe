//! Batches of operations.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_protocol::{CacheResult, EntryOperations, Operation, Reply};
use streamgate_redis::RedisStreams;
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, add, entries, read, read_group, values, within_limit};

async fn perform(
    streams: &RedisStreams,
    operations: Vec<Operation<'_>>,
) -> Vec<CacheResult<Reply>> {
    let mut results = Vec::new();
    for progress in streams.perform(operations, PerformOptions::default()).await {
        assert!(matches!(progress, Progress::Done(_)));
        results.push(progress.finish().await);
    }
    results
}

#[tokio::test]
async fn an_operation_that_fails_leaves_the_rest_of_its_batch_alone() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let _: () = fixture.command("SET string x").await.unwrap();
    let long = "k".repeat(64 * 1024);
    let operations = vec![
        add("s", "1"),
        add("string", "2"),
        read("string", "0", 0, Some(1_000)),
        add(&long, "3"),
        Operation::Add {
            stream: "s".into(),
            fields: Vec::new(),
            maxlen: None,
        },
        Operation::Ack {
            stream: "s".into(),
            group: "g".into(),
            ids: Vec::new(),
        },
        read("s", "nonsense", 0, Some(1_000)),
        read("s", "+", 0, None),
        read_group("s", "missing", "c", 0, Some(1_000)),
        read("s", "0", 0, None),
    ];
    let results = perform(&fixture.streams, operations).await;
    let codes: Vec<&str> = results
        .iter()
        .map(|result| result.as_ref().map_or_else(|e| e.code(), |_| "ok"))
        .collect();
    let expected = [
        "ok",
        "WRONGTYPE",
        "WRONGTYPE",
        "LIMIT",
        "ERR",
        "ok",
        "ERR",
        "ERR",
        "NOGROUP",
        "ok",
    ];
    assert_eq!(codes, expected);
    let (found, _) = entries(results.into_iter().last().unwrap());
    assert_eq!(values(&found), ["1"]);
}

#[tokio::test]
async fn a_batch_without_commands_needs_no_redis() {
    let mut fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture.server.kill().unwrap();
    let ack = Operation::Ack {
        stream: "s".into(),
        group: "g".into(),
        ids: Vec::new(),
    };
    assert_eq!(
        perform(&fixture.streams, vec![ack]).await,
        [Ok(Reply::Acknowledged { count: 0 })]
    );
    assert_eq!(perform(&fixture.streams, Vec::new()).await, []);
}

#[tokio::test]
async fn redis_runs_batches_in_the_order_of_their_first_polls() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let values: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let mut lists: Vec<_> = values
        .iter()
        .rev()
        .map(|n| {
            fixture
                .streams
                .perform(vec![add("s", n)], PerformOptions::default())
        })
        .collect();
    // The first polls come in the reverse order of the calls, and are more than a task's budget.
    lists.reverse();
    for list in &mut lists {
        assert!(
            pin!(list)
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    within_limit(futures_util::future::join_all(lists)).await;
    let found = fixture
        .streams
        .read_entries("s", "0", 0, None)
        .await
        .unwrap();
    assert_eq!(crate::fixture::values(&found), values);
}
