//! Consumers of a group that wait in the hub.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use streamgate_backend::{Backend, Cancellation, PerformOptions, Progress};
use streamgate_protocol::{EntryOperations, Operation, PendingEntries, Reply, StreamingBackend};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, add, entries, read_group, timed, values, within_limit};

async fn with_group(version: RedisVersion) -> Fixture {
    let fixture = Fixture::new(version).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    fixture
}

/// Returns once the hub has found the group empty, so that the stream is armed.
async fn wait_for_an_empty_group_read(fixture: &Fixture) {
    let empty = fixture
        .start_group_read("last in the queue", 1, 50)
        .await
        .finish()
        .await;
    assert_eq!(entries(empty).0, []);
}

#[tokio::test]
pub(crate) async fn consumers_of_one_batch_are_served_in_order() {
    let fixture = with_group(RedisVersion::V7_0).await;
    let operations = vec![
        read_group("s", "g", "first", 1, Some(9_000)),
        read_group("s", "g", "second", 1, Some(9_000)),
        add("s", "1"),
        read_group("s", "g", "third", 1, Some(9_000)),
        add("s", "2"),
        add("s", "3"),
    ];
    let waiting = fixture
        .streams
        .perform(operations, PerformOptions::default())
        .await;
    let results = within_limit(join_all(waiting.into_iter().map(Progress::finish))).await;
    let got = |n: usize| entries(results[n].clone()).0;
    assert_eq!(values(&got(0)), ["1"]);
    assert_eq!(values(&got(1)), ["2"]);
    assert_eq!(values(&got(3)), ["3"]);
}

/// Its caller goes while the first attempt is on its way, and awaits what else it has begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn a_consumer_that_is_cancelled_during_its_first_attempt_receives_nothing() {
    let fixture = with_group(RedisVersion::V7_0).await;
    fixture.server.pause().unwrap();
    let (still_wanted, cancellation) = Cancellation::new();
    let options = PerformOptions::default().cancellations(vec![(0, cancellation)]);
    let gone = vec![read_group("s", "g", "gone", 1, Some(0))];
    let mut gone = fixture.streams.perform(gone, options);
    assert!((&mut gone).now_or_never().is_none());
    drop(still_wanted);
    let add = vec![add("s", "1")];
    let mut add = fixture.streams.perform(add, PerformOptions::default());
    assert!((&mut add).now_or_never().is_none());
    fixture.server.resume().unwrap();
    within_limit(add).await;
    // As a session does that has yet to await others of the batch.
    let _kept = within_limit(gone).await;
    let other = within_limit(fixture.start_or_serve("other")).await;
    assert_eq!(values(&other), ["1"]);
}

#[tokio::test]
async fn a_group_read_of_many_entries_takes_them_before_a_later_operation_of_its_batch() {
    let fixture = with_group(RedisVersion::V7_0).await;
    for n in 0..150 {
        fixture.add("s", &n.to_string()).await;
    }
    let operations = vec![
        read_group("s", "g", "a", 1_000, None),
        add("s", "late"),
        read_group("s", "g", "b", 1_000, None),
        Operation::RemoveConsumer {
            stream: "s".into(),
            group: "g".into(),
            consumer: "a".into(),
            new_owner: "b".into(),
        },
    ];
    let mut results = Vec::new();
    for progress in fixture
        .streams
        .perform(operations, PerformOptions::default())
        .await
    {
        results.push(within_limit(progress.finish()).await.unwrap());
    }
    let counts = [0, 2].map(|n| results[n].clone().into_entries().unwrap().len());
    assert_eq!(counts, [150, 1]);
    assert_eq!(results[3], Reply::Removed { handed_over: 150 });
    let consumers = fixture.streams.consumers("s", "g").await.unwrap();
    let names: Vec<_> = consumers.iter().map(|it| &it.name).collect();
    assert_eq!(names, ["b"], "a consumer that was removed is back");
}

#[tokio::test]
pub(crate) async fn each_entry_costs_at_most_one_empty_group_read() {
    const ENTRIES: u64 = 20;
    let fixture = with_group(RedisVersion::V7_0).await;
    let operations: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    let operations = operations
        .iter()
        .map(|c| read_group("s", "g", c, 1, Some(0)))
        .collect();
    let mut waiting = fixture
        .streams
        .perform(operations, PerformOptions::default())
        .await
        .into_iter();
    fixture
        .start_group_read("last", 1, 50)
        .await
        .finish()
        .await
        .unwrap();
    let before = fixture.calls("xreadgroup").await;
    let ((), took) = timed(async {
        for n in 0..ENTRIES {
            let _: String = fixture.command(&format!("XADD s * f {n}")).await.unwrap();
            let served = within_limit(waiting.next().unwrap().finish()).await;
            assert_eq!(values(&entries(served).0), [n.to_string()]);
        }
    })
    .await;
    let group_reads = fixture.calls("xreadgroup").await - before;
    // The hub reads the group every two seconds without an entry.
    let rechecks = u64::try_from(took / 2_000).unwrap() + 1;
    assert!(
        group_reads <= 2 * ENTRIES + rechecks,
        "{group_reads} group reads for {ENTRIES} entries in {took} ms"
    );
}

/// The hub reads the group for it at any moment, as a stream that changes all the time makes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn a_consumer_that_leaves_during_its_group_read_receives_nothing() {
    const ROUNDS: usize = 100;
    for version in RedisVersion::ALL {
        let fixture = with_group(version).await;
        let changing = AtomicBool::new(true);
        let change = async {
            while changing.load(Ordering::Relaxed) {
                let _: () = redis::pipe()
                    .atomic()
                    .cmd("XADD")
                    .arg(&["s", "*", "f", "trimmed at once"])
                    .cmd("XTRIM")
                    .arg(&["s", "MAXLEN", "0"])
                    .exec_async(&mut fixture.direct.clone())
                    .await
                    .unwrap();
            }
        };
        let leave = async {
            for round in 0..ROUNDS {
                let gone = fixture.start_group_read("gone", 1, 0).await;
                for _ in 0..round % 10 {
                    tokio::task::yield_now().await;
                }
                drop(gone);
                // In one batch with a read that would find the entry, were it not delivered.
                let value = round.to_string();
                let operations = vec![add("s", &value), read_group("s", "g", "next", 1, None)];
                let limits = PerformOptions::default();
                let mut progress = fixture.streams.perform(operations, limits).await;
                let found = entries(progress.remove(1).finish().await).0;
                // The stream may have been trimmed between the two.
                assert!(found.is_empty() || values(&found) == [value]);
            }
            changing.store(false, Ordering::Relaxed);
            let pending = fixture.pending().await;
            assert!(!pending.is_empty());
            assert!(pending.iter().all(|(_, consumer)| consumer == "next"));
        };
        within_limit(async { tokio::join!(change, leave) }).await;
    }
}

#[tokio::test]
pub(crate) async fn a_destroyed_group_ends_its_waits() {
    for version in RedisVersion::ALL {
        let fixture = with_group(version).await;
        let first = fixture.start_group_read("a", 1, 0).await.finish();
        let second = fixture.start_group_read("b", 1, 0).await.finish();
        wait_for_an_empty_group_read(&fixture).await;
        let _: u64 = fixture.command("XGROUP DESTROY s g").await.unwrap();
        let (first, second) = within_limit(async { tokio::join!(first, second) }).await;
        assert_eq!(first.unwrap_err().code(), "NOGROUP");
        assert_eq!(second.unwrap_err().code(), "NOGROUP");
    }
}

/// Redis pushes the deletion. A recheck would find it too, but only after a ping.
#[tokio::test]
pub(crate) async fn a_deleted_stream_ends_its_groups_waits_without_a_recheck() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut without_ping = 0;
        // A ping that is due anyway may coincide with one of the rounds, not with all.
        for _ in 0..5 {
            fixture
                .streams
                .stream_create_group("s", "g", "$")
                .await
                .unwrap();
            let waiting = fixture.start_group_read("a", 1, 0).await.finish();
            wait_for_an_empty_group_read(&fixture).await;
            let before = fixture.calls("ping").await;
            let _: u64 = fixture.command("DEL s").await.unwrap();
            let ended = within_limit(waiting).await;
            assert_eq!(ended.unwrap_err().code(), "NOGROUP");
            without_ping += u32::from(fixture.calls("ping").await == before);
        }
        assert!(without_ping > 0, "every wait was ended by a recheck");
    }
}

#[tokio::test]
pub(crate) async fn a_group_whose_position_is_set_back_is_read_again() {
    let fixture = with_group(RedisVersion::V7_0).await;
    fixture.add("s", "1").await;
    fixture
        .streams
        .read_group_entries("s", "g", "a", 1, None)
        .await
        .unwrap();
    let waiting = fixture.start_group_read("b", 1, 0).await.finish();
    wait_for_an_empty_group_read(&fixture).await;
    let _: () = fixture.command("XGROUP SETID s g 0").await.unwrap();
    assert_eq!(values(&entries(within_limit(waiting).await).0), ["1"]);
}

/// The waits are so short that they end while the hub reads the group. Still, exactly the received
/// entries are pending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn short_waits_lose_nothing() {
    const ENTRIES: usize = 3_000;
    let fixture = with_group(RedisVersion::V7_0).await;
    let adding = async {
        for n in 0..ENTRIES {
            fixture.add("s", &n.to_string()).await;
            if n % 16 == 0 {
                // Long enough for waits to end without an entry.
                let quiet = fixture.streams.read_entries("quiet", "$", 1, Some(1));
                quiet.await.unwrap();
            }
        }
    };
    let consuming = async |name: String, block_ms: usize| {
        let mut received = Vec::new();
        let mut quiet = 0;
        while quiet < 50 {
            let streams = &fixture.streams;
            let found = streams
                .read_group_entries("s", "g", &name, 2, Some(block_ms))
                .await;
            let found = found.unwrap();
            quiet = if found.is_empty() { quiet + 1 } else { 0 };
            received.extend(found.into_iter().map(|entry| (entry.id, name.clone())));
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

/// Far more than a group that waits for seconds at each delivery would serve in time.
const WAKES: usize = 30;

/// Delivers entries to a consumer that waits for each of them.
async fn serve_another_consumer(fixture: &Fixture) {
    let serving = async {
        for n in 0..WAKES {
            let wait = read_group("s", "g", "other", 1, Some(0));
            let mut wait = fixture
                .streams
                .perform(vec![wait], PerformOptions::default())
                .await;
            let wait = wait.pop().unwrap().finish();
            fixture.add("s", &n.to_string()).await;
            assert_eq!(entries(wait.await).0.len(), 1);
        }
    };
    within_limit(serving).await;
}

#[tokio::test]
async fn a_group_read_that_was_never_polled_does_nothing() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    let operation = read_group("s", "g", "c", 1, Some(0));
    let performing = fixture
        .streams
        .perform(vec![operation], PerformOptions::default());
    let reading = fixture.streams.stream_read_group("s", "g", "d", 1, Some(0));
    serve_another_consumer(&fixture).await;
    assert!(
        fixture
            .pending()
            .await
            .iter()
            .all(|(_, consumer)| consumer == "other")
    );
    drop((performing, reading));
}

#[tokio::test]
async fn a_group_read_that_is_not_polled_again_delays_nobody() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture
        .streams
        .stream_create_group("s", "g", "$")
        .await
        .unwrap();
    let mut reading = fixture.streams.stream_read_group("s", "g", "c", 1, Some(0));
    assert!((&mut reading).now_or_never().is_none());
    // It was first to wait, so it gets the first entry, as in Redis.
    fixture.sync_with_hub().await;
    fixture.add("s", "first").await;
    serve_another_consumer(&fixture).await;
    let first = within_limit(reading).await.unwrap();
    assert_eq!(first[0].1[0].1, "first");
}
