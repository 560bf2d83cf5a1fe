//! Consumers of a group that wait.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use streamgate_backend::{Backend, Progress};
use streamgate_protocol::StreamingBackend;
use streamgate_redis::RedisStreams;
use streamgate_test_support::RedisVersion;
use streamgate_test_support::relay::{Flow, Relay, Scope, Way};

use crate::fixture::{Fixture, add, entries, read_group, soon, timed, values};

async fn with_group(version: RedisVersion) -> Fixture {
    let fixture = Fixture::new(version).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    fixture
}

/// Ends once the hub has found the group empty, and the stream is armed.
async fn look(fixture: &Fixture) {
    let empty = fixture.start_group("looks", 1, 50).await.finish().await;
    assert_eq!(entries(empty).0, []);
}

#[tokio::test]
pub(crate) async fn waiting_consumers_are_served_in_the_order_they_came() {
    for version in RedisVersion::ALL {
        let fixture = with_group(version).await;
        let names: Vec<String> = (0..100).map(|n| format!("consumer-{n}")).collect();
        let mut waiting = Vec::new();
        for name in &names {
            waiting.push(fixture.start_group(name, 1, 0).await.finish());
        }
        for n in 0..50 {
            fixture.add("s", &n.to_string()).await;
        }
        // The other half in one go.
        let operations: Vec<String> = (50..100).map(|n| n.to_string()).collect();
        fixture
            .streams
            .perform(operations.iter().map(|n| add("s", n)).collect())
            .await;
        for (n, result) in soon(join_all(waiting)).await.into_iter().enumerate() {
            assert_eq!(values(&entries(result).0), [n.to_string()], "consumer {n}");
        }
        let owners: Vec<String> = fixture
            .pending()
            .await
            .into_iter()
            .map(|(_, c)| c)
            .collect();
        assert_eq!(owners, names);
    }
}

#[tokio::test]
pub(crate) async fn nobody_overtakes_a_consumer_of_the_same_list() {
    let fixture = with_group(RedisVersion::V7_0).await;
    let operations = vec![
        read_group("s", "g", "first", 1, Some(9_000)),
        read_group("s", "g", "second", 1, Some(9_000)),
        add("s", "1"),
        read_group("s", "g", "third", 1, Some(9_000)),
        add("s", "2"),
        add("s", "3"),
    ];
    let waiting = fixture.streams.perform(operations).await;
    let results = soon(join_all(waiting.into_iter().map(Progress::finish))).await;
    let got = |n: usize| entries(results[n].clone()).0;
    assert_eq!(values(&got(0)), ["1"]);
    assert_eq!(values(&got(1)), ["2"]);
    assert_eq!(values(&got(3)), ["3"]);
}

#[tokio::test]
pub(crate) async fn a_try_finds_nothing_at_most_once_for_each_entry() {
    const ENTRIES: u64 = 20;
    let fixture = with_group(RedisVersion::V7_0).await;
    let operations: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    let operations = operations
        .iter()
        .map(|c| read_group("s", "g", c, 1, Some(0)))
        .collect();
    let mut waiting = fixture.streams.perform(operations).await.into_iter();
    fixture
        .start_group("last", 1, 50)
        .await
        .finish()
        .await
        .unwrap();
    let before = fixture.calls("xreadgroup").await;
    let ((), took) = timed(async {
        for n in 0..ENTRIES {
            let _: String = fixture.ask(&format!("XADD s * f {n}")).await.unwrap();
            let served = soon(waiting.next().unwrap().finish()).await;
            assert_eq!(values(&entries(served).0), [n.to_string()]);
        }
    })
    .await;
    let tries = fixture.calls("xreadgroup").await - before;
    // Now and then the group is looked at without an entry.
    let looks = u64::try_from(took / 2_000).unwrap() + 1;
    assert!(
        tries <= 2 * ENTRIES + looks,
        "{tries} tries for {ENTRIES} entries in {took} ms"
    );
}

#[tokio::test]
pub(crate) async fn a_consumer_that_left_is_handed_nothing() {
    let fixture = with_group(RedisVersion::V7_0).await;
    let gone = fixture.start_group("gone", 1, 0).await;
    let also_gone = fixture.start_group("also gone", 1, 0).await;
    let stays = fixture.start_group("stays", 1, 9_000).await;
    drop((gone, also_gone));
    let id = fixture.add("s", "1").await;
    assert_eq!(values(&entries(soon(stays.finish()).await).0), ["1"]);
    fixture.add("s", "2").await;
    assert_eq!(fixture.pending().await, [(id, "stays".to_owned())]);
}

/// The answer to a look for it is late, and what is added meanwhile must not be in it.
#[tokio::test]
pub(crate) async fn a_consumer_that_left_while_it_was_looked_for_is_handed_nothing() {
    for version in RedisVersion::ALL {
        let mut fixture = with_group(version).await;
        let port = fixture.server.port();
        let relay = Relay::start(([127, 0, 0, 1], port).into()).await.unwrap();
        let url = format!("redis://{}", relay.address());
        fixture.streams = RedisStreams::connect(&url).await.unwrap();
        // The second connection is the hub's.
        relay.set(Scope::Nth(1), Way::ToTarget, Flow::Stall);
        let gone = fixture.start_group("gone", 1, 0).await;
        // Its turn comes behind the consumer's, and at its end it needs no answer.
        let behind = fixture.start_read("s", "$", 50).await.finish().await;
        assert_eq!(entries(behind).0, []);
        drop(gone);
        let mut adding = std::pin::pin!(fixture.add("s", "1"));
        let early = tokio::time::timeout(Duration::from_millis(20), &mut adding).await;
        assert!(early.is_err(), "it was not held back");
        relay.heal();
        let id = soon(adding).await;
        let next = fixture
            .streams
            .stream_read_group("s", "g", "next", 1, Some(5_000));
        let next = soon(next).await.unwrap();
        assert_eq!(values(&next), ["1"]);
        assert_eq!(fixture.pending().await, [(id, "next".to_owned())]);
    }
}

#[tokio::test]
pub(crate) async fn an_idle_wait_ends_empty_after_its_time() {
    for version in RedisVersion::ALL {
        let fixture = with_group(version).await;
        let wait = |consumer: &'static str, ms: usize| {
            timed(
                fixture
                    .streams
                    .stream_read_group("s", "g", consumer, 1, Some(ms)),
            )
        };
        let ((first, took_700), (second, took_3000)) =
            tokio::join!(wait("a", 700), wait("b", 3_000));
        assert_eq!((first, second), (Ok(vec![]), Ok(vec![])));
        assert!((700..1_700).contains(&took_700), "{took_700}");
        assert!((3_000..4_000).contains(&took_3000), "{took_3000}");
    }
}

#[tokio::test]
pub(crate) async fn a_group_that_is_destroyed_ends_its_waits() {
    for version in RedisVersion::ALL {
        let fixture = with_group(version).await;
        let first = fixture.start_group("a", 1, 0).await.finish();
        let second = fixture.start_group("b", 1, 0).await.finish();
        look(&fixture).await;
        let _: u64 = fixture.ask("XGROUP DESTROY s g").await.unwrap();
        let (first, second) = soon(async { tokio::join!(first, second) }).await;
        assert_eq!(first.unwrap_err().code(), "NOGROUP");
        assert_eq!(second.unwrap_err().code(), "NOGROUP");
    }
}

#[tokio::test]
pub(crate) async fn a_stream_that_is_deleted_ends_its_groups_waits_at_once() {
    for version in RedisVersion::ALL {
        let fixture = with_group(version).await;
        let waiting = fixture.start_group("a", 1, 0).await.finish();
        look(&fixture).await;
        let _: u64 = fixture.ask("DEL s").await.unwrap();
        let (ended, took) = timed(soon(waiting)).await;
        assert_eq!(ended.unwrap_err().code(), "NOGROUP");
        assert!(took < 1_000, "{took}");
    }
}

#[tokio::test]
pub(crate) async fn a_group_that_is_set_back_is_read_again() {
    let fixture = with_group(RedisVersion::V7_0).await;
    fixture.add("s", "1").await;
    fixture
        .streams
        .stream_read_group("s", "g", "a", 1, None)
        .await
        .unwrap();
    let waiting = fixture.start_group("b", 1, 0).await.finish();
    look(&fixture).await;
    let _: () = fixture.ask("XGROUP SETID s g 0").await.unwrap();
    assert_eq!(values(&entries(soon(waiting).await).0), ["1"]);
}

#[tokio::test]
pub(crate) async fn readers_and_groups_of_one_stream_are_served_side_by_side() {
    let fixture = with_group(RedisVersion::V8_2).await;
    fixture
        .streams
        .stream_create_group("s", "other", "$")
        .await
        .unwrap();
    let reader = fixture.start_read("s", "$", 9_000).await.finish();
    let first = fixture.start_group("a", 0, 9_000).await.finish();
    let operation = read_group("s", "other", "a", 2, Some(9_000));
    let second = fixture.start(operation).await.finish();
    fixture.add("s", "1").await;
    let results = soon(join_all([reader, first, second])).await;
    for result in results {
        assert_eq!(values(&entries(result).0), ["1"]);
    }
}

/// Waits so short that they end while Redis is being asked, and consumers that leave without a
/// word: whatever is pending was received, and whatever was received is pending once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn short_waits_lose_nothing() {
    const ENTRIES: usize = 3_000;
    let fixture = with_group(RedisVersion::V7_0).await;
    let adding = async {
        for n in 0..ENTRIES {
            fixture.add("s", &n.to_string()).await;
            if n % 16 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let consuming = async |name: String, block_ms: usize| {
        let mut received = Vec::new();
        let mut quiet = 0;
        while quiet < 50 {
            let streams = &fixture.streams;
            let found = streams
                .stream_read_group("s", "g", &name, 2, Some(block_ms))
                .await;
            let found = found.unwrap();
            quiet = if found.is_empty() { quiet + 1 } else { 0 };
            received.extend(found.into_iter().map(|(id, _)| (id, name.clone())));
        }
        received
    };
    let consumers = (0..12).map(|n| consuming(format!("c{n}"), 1 + n % 3));
    let ((), received) = tokio::join!(adding, join_all(consumers));
    let received: Vec<(String, String)> = received.into_iter().flatten().collect();
    assert_eq!(received.len(), ENTRIES);
    let received: BTreeSet<(String, String)> = received.into_iter().collect();
    assert_eq!(received, fixture.pending().await.into_iter().collect());
}
