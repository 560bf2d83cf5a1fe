//! Pending entries: access lists and the removal of consumers.

use futures_util::StreamExt;
use streamgate_backend::{Backend, PerformOptions, ReclaimStep};
use streamgate_protocol::message::Subscription;
use streamgate_protocol::{
    ConsumeOptions, Entry, EntryOperations, Operation, PendingEntries, PendingQuery,
    StreamingBackend, SubscribingBackend,
};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, within_limit};

/// A user that may do what the documentation lists for pending entries, and no more.
const ALLOWED: &str = "--user app on nopass ~* &* -@all +ping +client|tracking +client|caching +xadd \
                   +xreadgroup +xread +xrevrange +xgroup +xack +xpending +xautoclaim +eval +xclaim +time +xrange";

async fn held_by_ann(fixture: &Fixture, n: usize) {
    let streams = &fixture.streams;
    streams.stream_create_group("s", "g", "0").await.unwrap();
    for i in 0..n {
        fixture.add("s", &i.to_string()).await;
    }
    let read = streams.read_group_entries("s", "g", "ann", n, None);
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
        let dead_letters = within_limit(streams.read_entries("dead", "0", 1, Some(9_000)));
        tokio::select! {
            found = dead_letters => assert_eq!(found.unwrap().len(), 1),
            given = deliveries.next() => panic!("it received {given:?}"),
        }
    }
}

#[tokio::test]
async fn dead_letters_state_the_source_of_their_policy_and_keep_its_bound() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        // Redis trims whole nodes, of 100 entries each.
        held_by_ann(&fixture, 300).await;
        let options = ConsumeOptions::default()
            .claim_after_ms(1)
            .dead_letter("dead", 1);
        let consume = Subscription::consume("s", "g", "bob", options);
        let mut step = ReclaimStep::first(&consume).unwrap();
        (step.min_idle_ms, step.count) = (0, 1_000);
        let policy = step.dead_letter.as_mut().unwrap();
        (policy.source, policy.maxlen) = (Some("shown".into()), Some(2));
        for _ in 0..3 {
            let reclaimed = fixture.streams.reclaim(step.clone()).await.unwrap();
            (step.cursor, step.since_ms) = (reclaimed.cursor, Some(reclaimed.since_ms));
        }
        let dead = fixture
            .streams
            .read_latest_entries("dead", 1_000)
            .await
            .unwrap();
        assert!((2..=200).contains(&dead.len()), "{}", dead.len());
        assert_eq!(dead[0].get("dead-letter-stream").unwrap(), "shown");
        assert_eq!(dead[0].get("dead-letter-deliveries").unwrap(), "1");
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
    let mut progress = fixture
        .streams
        .perform(vec![removal, summary], PerformOptions::default())
        .await;
    let summary = progress.remove(1).finish().await.unwrap();
    let consumers = summary.into_summary().unwrap().consumers;
    assert_eq!(consumers, [("bob".into(), 99)]);
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
    let removing = streams
        .perform(vec![removal], PerformOptions::default())
        .await
        .remove(0);
    let summary = streams.pending_summary("s", "g").await.unwrap();
    let half = [("ann".into(), 150), ("bob".into(), 100)];
    assert_eq!(
        summary.consumers, half,
        "only the first page was transferred"
    );
    fixture.server.kill().unwrap();
    let lost = within_limit(removing.finish()).await.unwrap_err();
    assert_eq!(lost.code(), "UNKNOWN_OUTCOME");
}

async fn read_pending(fixture: &Fixture, count: u64) -> Vec<Entry> {
    let read = Operation::ReadPending {
        stream: "s".into(),
        group: "g".into(),
        consumer: "ann".into(),
        after: "0-0".into(),
        count,
        except: vec![],
    };
    let read = fixture
        .streams
        .perform(vec![read], PerformOptions::default())
        .await
        .remove(0);
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
            .command(&format!("XDEL s {}", before[1].id))
            .await
            .unwrap();
        let after = read_pending(&fixture, 0).await;
        assert_eq!(after[1], Entry::deleted(&before[1].id));
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
        let read = streams.read_group_entries("s", "g", "ann", 1, None);
        assert_eq!(read.await.unwrap().len(), 1);
    }
    let found = read_pending(&fixture, 0).await;
    assert!((8..12).contains(&found.len()), "{} entries", found.len());
}

/// Adds entries with values of these sizes, and delivers them to `ann`. Returns their ids.
async fn held_by_ann_of_sizes(fixture: &Fixture, sizes: &[usize]) -> Vec<String> {
    let streams = &fixture.streams;
    streams.stream_create_group("s", "g", "0").await.unwrap();
    let mut ids = Vec::new();
    for bytes in sizes {
        ids.push(fixture.add("s", &"x".repeat(*bytes)).await);
    }
    let read = streams.read_group_entries("s", "g", "ann", 100, None);
    assert_eq!(read.await.unwrap().len(), sizes.len());
    ids
}

/// The first step of the consumer `bob`, whatever the idle time.
fn first_step(max_bytes: u64, max_entry_bytes: u64) -> ReclaimStep {
    let options = ConsumeOptions::default().claim_after_ms(1);
    let mut step = ReclaimStep::first(&Subscription::consume("s", "g", "bob", options)).unwrap();
    step.min_idle_ms = 0;
    step.count = 100;
    (step.max_bytes, step.max_entry_bytes) = (max_bytes, max_entry_bytes);
    step
}

/// Consumers and counts of deliveries of all pending entries.
async fn holders(fixture: &Fixture) -> Vec<(String, u64)> {
    let all = fixture.streams.pending("s", "g", PendingQuery::default());
    let all = all.await.unwrap().into_iter();
    all.map(|entry| (entry.consumer.into_text(), entry.deliveries))
        .collect()
}

fn holder(consumer: &str, deliveries: u64) -> (String, u64) {
    (consumer.to_owned(), deliveries)
}

#[tokio::test]
async fn a_step_leaves_what_does_not_fit_to_the_next_and_counts_no_delivery_of_it() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let ids = held_by_ann_of_sizes(&fixture, &[400, 400, 400, 5_000]).await;
        let mut step = first_step(1_000, u64::MAX);
        let mut returned = Vec::new();
        for expected in [&ids[..2], &ids[2..3], &ids[3..]] {
            let reclaimed = fixture.streams.reclaim(step.clone()).await.unwrap();
            let found: Vec<_> = reclaimed
                .entries
                .into_iter()
                .map(|entry| entry.id)
                .collect();
            assert_eq!(found, expected);
            returned.extend(found);
            let counts: Vec<_> = holders(&fixture).await;
            let expected = ids.iter().map(|id| match returned.contains(id) {
                true => holder("bob", 2),
                false => holder("ann", 1),
            });
            assert!(counts.into_iter().eq(expected));
            step.cursor = reclaimed.cursor;
            step.since_ms = Some(reclaimed.since_ms);
        }
        assert_eq!(step.cursor, "0-0");
    }
}

#[tokio::test]
async fn an_entry_that_is_too_large_is_skipped_and_its_neighbours_are_returned() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let ids = held_by_ann_of_sizes(&fixture, &[10, 5_000, 10]).await;
        let step = first_step(100_000, 1_000);
        let reclaimed = fixture.streams.reclaim(step.clone()).await.unwrap();
        let found: Vec<_> = reclaimed.entries.iter().map(|entry| &entry.id).collect();
        assert_eq!(found, [&ids[0], &ids[2]]);
        let skipped = &reclaimed.skipped[0];
        let bytes = (ids[1].len() + "f".len() + 5_000) as u64;
        assert_eq!((&skipped.id, skipped.bytes), (&ids[1], bytes));
        assert_eq!(reclaimed.skipped.len(), 1);
        let expected = [holder("bob", 2), holder("bob", 1), holder("bob", 2)];
        assert_eq!(holders(&fixture).await, expected);
        let mut later = step;
        later.since_ms = Some(reclaimed.since_ms);
        let again = fixture.streams.reclaim(later).await.unwrap();
        assert_eq!(
            (again.entries.len(), again.skipped.len()),
            (0, 0),
            "its own"
        );
    }
}

#[tokio::test]
async fn skipped_entries_count_among_those_that_a_step_returns() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let ids = held_by_ann_of_sizes(&fixture, &[5_000, 10, 10]).await;
    let mut step = first_step(100_000, 1_000);
    step.count = 2;
    let reclaimed = fixture.streams.reclaim(step).await.unwrap();
    assert_eq!((reclaimed.entries.len(), reclaimed.skipped.len()), (1, 1));
    assert_eq!(reclaimed.cursor, ids[1]);
}

#[tokio::test]
async fn idle_entries_are_listed_in_pages() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let fill = "local ms = redis.call('TIME')[1] * 1000 \
                    redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0', 'MKSTREAM') \
                    for id = 1, 3500 do redis.call('XADD', KEYS[1], id .. '-0', 'f', 'v') end \
                    redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', KEYS[1], '>') \
                    for id = 1, 3500, 700 do \
                    redis.call('XCLAIM', KEYS[1], 'g', 'd', 0, id .. '-0', 'IDLE', 3600000) end";
        let eval = redis::cmd("EVAL").arg(fill).arg(1).arg("s").to_owned();
        let _: redis::Value = eval.query_async(&mut fixture.direct.clone()).await.unwrap();
        let list = async |query: PendingQuery| {
            let listed = within_limit(fixture.streams.pending("s", "g", query)).await;
            let ids = listed.unwrap().into_iter().map(|entry| entry.id);
            ids.collect::<Vec<_>>()
        };
        let idle = || PendingQuery::default().min_idle_ms(1_800_000);
        let all = ["1-0", "701-0", "1401-0", "2101-0", "2801-0"];
        assert_eq!(list(idle()).await, all);
        assert_eq!(list(idle().consumer("d")).await, all);
        assert_eq!(list(idle().consumer("c")).await, [""; 0]);
        assert_eq!(list(idle().count(2)).await, all[..2]);
        let mut range = idle();
        (range.start, range.end) = ("(1-0".into(), "2101-0".into());
        assert_eq!(list(range).await, all[1..4]);
    }
}

#[tokio::test]
async fn consumers_of_a_group_are_listed_up_to_a_bound() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let fill = "redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0', 'MKSTREAM') \
                    redis.call('XGROUP', 'CREATE', KEYS[1], 'small', '0') \
                    redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'small', 'c') \
                    for n = 1, ARGV[1] do \
                    redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'g', 'c' .. n) end";
        let mut eval = redis::cmd("EVAL");
        eval.arg(fill).arg(1).arg("s").arg(10_000);
        let _: redis::Value = eval.query_async(&mut fixture.direct.clone()).await.unwrap();
        let streams = &fixture.streams;
        assert_eq!(streams.consumers("s", "g").await.unwrap().len(), 10_000);
        assert_eq!(streams.pending_summary("s", "g").await.unwrap().count, 0);
        let one_more = "XGROUP CREATECONSUMER s g one-more";
        let _: redis::Value = fixture.command(one_more).await.unwrap();
        let refused = [
            streams.consumers("s", "g").await.unwrap_err(),
            streams.pending_summary("s", "g").await.unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.code(), "LIMIT", "{error}");
        }
        assert_eq!(streams.consumers("s", "small").await.unwrap().len(), 1);
        for (stream, group) in [("s", "missing"), ("missing", "g")] {
            let errors = [
                streams.consumers(stream, group).await.unwrap_err(),
                streams.pending_summary(stream, group).await.unwrap_err(),
            ];
            assert!(
                errors.iter().all(|error| error.code() == "NOGROUP"),
                "{errors:?}"
            );
        }
    }
}
