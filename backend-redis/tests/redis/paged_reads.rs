//! Reads in pages: no answer of Redis is large, whatever a read asks for.

use futures_util::FutureExt;
use futures_util::future::join_all;
use streamgate_backend::memory_budget::{MemoryBudget, MemoryKind};
use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_protocol::{
    CacheResult, Entry, Operation, Reply, StreamingBackend, SubscribingBackend, TailFrom, TailItem,
};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::fixture::{
    Fixture, add, connect_directly, entries, first_position, next, read, read_group, values,
    within_limit,
};

const MIB: usize = 1024 * 1024;

/// Redis closes a connection to which it owes more than this.
const OUTPUT_LIMIT: [&str; 2] = ["--client-output-buffer-limit", "normal 4mb 4mb 0"];

/// Bytes that an entry counts for beside its value.
const OVERHEAD: usize = 65;

async fn start(version: RedisVersion) -> Fixture {
    let server = RedisServer::start_with(version, &OUTPUT_LIMIT).unwrap();
    Fixture {
        streams: RedisStreams::connect(&server.url()).await.unwrap(),
        direct: connect_directly(&server).await,
        server,
    }
}

/// Adds `count` entries without the backend, with ids from `first` on and values of this size.
async fn fill(fixture: &Fixture, stream: &str, first: usize, count: usize, bytes: usize) {
    let script = "for id = ARGV[1], ARGV[1] + ARGV[2] - 1 do \
                  redis.call('XADD', KEYS[1], id .. '-0', 'f', string.rep('v', ARGV[3])) end";
    let mut eval = redis::cmd("EVAL");
    eval.arg(script)
        .arg(1)
        .arg(stream)
        .arg(first)
        .arg(count)
        .arg(bytes);
    eval.query_async::<()>(&mut fixture.direct.clone())
        .await
        .unwrap();
}

fn read_latest(stream: &str, count: u64) -> Operation<'_> {
    Operation::ReadLatest {
        stream: stream.into(),
        count,
    }
}

fn read_pending<'a>(consumer: &'a str, count: u64) -> Operation<'a> {
    Operation::ReadPending {
        stream: "s".into(),
        group: "g".into(),
        consumer: consumer.into(),
        after: "0-0".into(),
        count,
        except: Vec::new(),
    }
}

/// Performs one operation whose reply may have this size. Returns its entries, and whether it took
/// several round trips.
async fn perform(
    fixture: &Fixture,
    operation: Operation<'_>,
    max_bytes: usize,
) -> (Vec<Entry>, bool) {
    let limits = PerformOptions::new(max_bytes);
    let progress = within_limit(fixture.streams.perform(vec![operation], limits)).await;
    let progress = progress.into_iter().next().unwrap();
    let continues = matches!(progress, Progress::Continuing { .. });
    let (found, _) = entries(within_limit(progress.finish()).await);
    (found, continues)
}

fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.id.clone()).collect()
}

fn expected_ids(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|n| format!("{n}-0")).collect()
}

#[tokio::test]
async fn a_read_ends_where_its_reply_must_end() {
    for version in RedisVersion::ALL {
        let fixture = start(version).await;
        fill(&fixture, "s", 1, 20_000, 1_000).await;
        let fitting = MIB / (1_000 + OVERHEAD);
        for _ in ["nothing is known", "the size is known"] {
            for count in [0, 10_000_000] {
                let (found, continues) = perform(&fixture, read("s", "0", count, None), MIB).await;
                assert_eq!(ids(&found), expected_ids(1..=fitting));
                assert!(continues);
            }
            let latest = read_latest("s", 1_000_000_000_000_000);
            let (found, continues) = perform(&fixture, latest, MIB).await;
            assert_eq!(ids(&found), expected_ids((1..=20_000).rev().take(fitting)));
            assert!(continues);
        }
        let (found, _) = perform(&fixture, read("s", "0", 200, None), MIB).await;
        assert_eq!(ids(&found), expected_ids(1..=200));
        let (found, _) = perform(&fixture, read("s", "19900", 0, None), MIB).await;
        assert_eq!(ids(&found), expected_ids(19_901..=20_000));
    }
}

#[tokio::test]
async fn a_read_without_limits_returns_all_in_pages() {
    for version in RedisVersion::ALL {
        let fixture = start(version).await;
        fill(&fixture, "s", 1, 20_000, 1_000).await;
        let all = within_limit(fixture.streams.stream_read("s", "0", 0, None)).await;
        let all: Vec<_> = all.unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(all, expected_ids(1..=20_000));
        let latest = within_limit(fixture.streams.stream_read_latest("s", usize::MAX)).await;
        let latest: Vec<_> = latest.unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(latest, expected_ids((1..=20_000).rev()));
    }
}

#[tokio::test]
async fn large_entries_come_one_at_a_time() {
    let fixture = start(RedisVersion::V7_0).await;
    fill(&fixture, "s", 1, 20, MIB).await;
    let (found, _) = perform(&fixture, read_latest("s", 15), 16 * MIB).await;
    assert_eq!(ids(&found), expected_ids((6..=20).rev()));
    let (found, _) = perform(&fixture, read("s", "0", 0, Some(1_000)), 4 * MIB).await;
    assert_eq!(ids(&found), expected_ids(1..=3));
    let (found, _) = perform(&fixture, read("s", "3", 1, None), MIB / 2).await;
    assert_eq!(
        ids(&found),
        ["4-0"],
        "the server has to know why it does not fit"
    );
}

#[tokio::test]
async fn a_usual_read_is_one_command() {
    let fixture = start(RedisVersion::V7_0).await;
    for n in 0..110 {
        fixture.add("s", &n.to_string()).await;
        fixture.add("t", &n.to_string()).await;
    }
    let signing_in = fixture.calls("eval").await;
    let operations = || {
        [
            read("s", "0", 100, None),
            read("s", "0", 100, Some(1_000)),
            read_latest("t", 100),
            read_latest("t", 100),
        ]
    };
    for operation in operations() {
        let (found, continues) = perform(&fixture, operation, MIB).await;
        assert_eq!((found.len(), continues), (100, false));
    }
    // The first read of a stream is a script: nothing is known of its entries.
    assert_eq!(fixture.calls("eval").await, signing_in + 2);
    let before = [
        fixture.calls("xread").await,
        fixture.calls("xrevrange").await,
    ];
    for operation in operations() {
        perform(&fixture, operation, MIB).await;
    }
    assert_eq!(fixture.calls("xread").await, before[0] + 2);
    assert_eq!(fixture.calls("xrevrange").await, before[1] + 2);
    assert_eq!(fixture.calls("eval").await, signing_in + 2);
}

#[tokio::test]
async fn a_read_of_an_unknown_stream_sees_what_was_added_before_it() {
    let fixture = start(RedisVersion::V7_0).await;
    fill(&fixture, "s", 1, 1, 10).await;
    let limits = PerformOptions::default();
    let value = "v".repeat(MIB);
    let mut adding = fixture.streams.perform(vec![add("s", &value)], limits);
    assert!((&mut adding).now_or_never().is_none());
    let (found, _) = perform(&fixture, read_latest("s", 1), 4 * MIB).await;
    assert_eq!(values(&found), [value]);
    within_limit(adding).await;
    let (found, continues) = perform(&fixture, read_latest("missing", 1), MIB).await;
    assert_eq!((found, continues), (vec![], false));
}

#[tokio::test]
async fn a_read_from_the_end_does_not_load_a_large_last_entry() {
    let fixture = start(RedisVersion::V7_0).await;
    let id = fixture.add("s", &"v".repeat(6 * MIB)).await;
    let found = perform(&fixture, read("s", "$", 1, None), MIB).await;
    assert_eq!(found, (vec![], false));
    let progress = fixture.start_read("s", "$", 0).await;
    let Progress::Waiting { position, .. } = &progress else {
        panic!("{progress:?}")
    };
    assert_eq!(position.as_deref(), Some(&*id));
    fixture.add("s", "next").await;
    let (found, _) = entries(within_limit(progress.finish()).await);
    assert_eq!(values(&found), ["next"]);
}

#[tokio::test]
async fn a_small_add_does_not_make_a_stream_of_large_entries_small() {
    for version in RedisVersion::ALL {
        let fixture = start(version).await;
        fill(&fixture, "s", 1, 40, MIB).await;
        let _: () = fixture.command("XGROUP CREATE s g 0").await.unwrap();
        fixture.add("s", "small").await;
        let (found, _) = perform(&fixture, read_group("s", "g", "c", 100, None), 3 * MIB).await;
        assert_eq!(ids(&found), expected_ids(1..=2));

        fill(&fixture, "t", 1, 40, MIB).await;
        fixture.add("t", "small").await;
        let (found, _) = perform(&fixture, read("t", "0", 100, None), 3 * MIB).await;
        assert_eq!(ids(&found), expected_ids(1..=2));
    }
}

/// Commands read what follows a large entry, one entry each; scripts read the rest.
#[tokio::test]
async fn a_large_entry_does_not_make_reads_of_small_ones_slow() {
    let fixture = start(RedisVersion::V7_0).await;
    fill(&fixture, "s", 1, 1, 300_000).await;
    fill(&fixture, "s", 2, 5_000, 10).await;
    for _ in 0..2 {
        let (found, _) = perform(&fixture, read("s", "0", 0, None), 4 * MIB).await;
        assert_eq!(ids(&found), expected_ids(1..=5_001));
    }
    let commands = fixture.calls("xread").await;
    assert!(commands <= 6, "{commands} commands");
}

#[tokio::test]
async fn a_group_read_of_an_unknown_stream_takes_what_fits_and_reports_errors() {
    let fixture = start(RedisVersion::V7_0).await;
    fill(&fixture, "s", 1, 300, 1_000).await;
    let _: () = fixture.command("XGROUP CREATE s g 0").await.unwrap();
    let _: () = fixture.command("SET text 1").await.unwrap();
    let group_read = || read_group("s", "g", "c", 5, None);
    let (found, _) = perform(&fixture, group_read(), MIB).await;
    assert_eq!(ids(&found), expected_ids(1..=5));
    fill(&fixture, "t", 1, 300, 1_000).await;
    fill(&fixture, "t", 301, 300, 10_000).await;
    let _: () = fixture.command("XGROUP CREATE t g 0").await.unwrap();
    let (found, _) = perform(&fixture, read_group("t", "g", "c", 0, None), MIB).await;
    let fitting = 300 + (MIB - 300 * (1_000 + OVERHEAD)) / (10_000 + OVERHEAD);
    assert_eq!(ids(&found), expected_ids(1..=fitting));
    for (stream, code) in [("missing", "NOGROUP"), ("text", "WRONGTYPE")] {
        let read = read_group(stream, "g", "c", 5, None);
        let progress = fixture
            .streams
            .perform(vec![read], PerformOptions::new(MIB));
        let error = within_limit(progress).await.remove(0).finish().await;
        assert_eq!(error.unwrap_err().code(), code);
    }
}

/// Performs a read, then an add that trims or that is the newest entry, in one batch.
async fn read_then_add(fixture: &Fixture, read: Operation<'_>, add: Operation<'_>) -> Vec<Entry> {
    let limits = PerformOptions::new(MIB);
    let progress = within_limit(fixture.streams.perform(vec![read, add], limits)).await;
    let mut replies = join_all(progress.into_iter().map(Progress::finish)).await;
    assert!(matches!(replies.pop(), Some(Ok(Reply::Added { .. }))));
    entries(replies.remove(0)).0
}

#[tokio::test]
async fn a_read_of_an_unknown_stream_precedes_the_operations_after_it() {
    for config in [
        "--user app on nopass ~* &* +@all",
        "--user app on nopass ~* &* +@all -eval",
    ] {
        let fixture = Fixture::with_user(RedisVersion::V7_0, config).await;
        for stream in ["forwards", "backwards", "newest", "large"] {
            let (count, bytes) = if stream == "large" {
                (3, MIB)
            } else {
                (300, 100)
            };
            fill(&fixture, stream, 1, count, bytes).await;
        }
        let trimming = |stream: &'static str| Operation::Add {
            stream: stream.into(),
            fields: vec![("f".into(), "v".into())],
            maxlen: Some(1),
        };
        let first = read("forwards", "0", 1, None);
        let found = read_then_add(&fixture, first, trimming("forwards")).await;
        assert_eq!(ids(&found), expected_ids(1..=1), "{config}");
        let latest = read_latest("backwards", 1);
        let found = read_then_add(&fixture, latest, trimming("backwards")).await;
        assert_eq!(ids(&found), ["300-0"], "{config}");
        let found = read_then_add(&fixture, read_latest("newest", 1), add("newest", "v")).await;
        assert_eq!(ids(&found), ["300-0"], "{config}");
        let found = read_then_add(&fixture, read_latest("large", 1), add("large", "v")).await;
        assert_eq!(ids(&found), ["3-0"], "{config}");
    }
}

#[tokio::test]
async fn all_of_an_unknown_page_precedes_the_operations_after_it() {
    let fixture = start(RedisVersion::V7_0).await;
    fill(&fixture, "s", 1, 300, 100).await;
    let trimming = Operation::Add {
        stream: "s".into(),
        fields: vec![("f".into(), "v".into())],
        maxlen: Some(1),
    };
    let found = read_then_add(&fixture, read("s", "0", 200, None), trimming).await;
    assert_eq!(ids(&found), expected_ids(1..=200));
}

#[tokio::test]
async fn a_read_from_a_large_end_needs_no_scripts() {
    for denied in ["-eval", "-eval -evalsha", "-@scripting"] {
        let config = format!("--user app on nopass ~* &* +@all {denied}");
        let fixture = Fixture::with_user(RedisVersion::V7_0, &config).await;
        let id = fixture.add("s", &"v".repeat(MIB)).await;
        let read = fixture.start_read("s", "$", 0).await;
        let Progress::Waiting { position, .. } = &read else {
            panic!("{read:?}")
        };
        assert_eq!(position.as_deref(), Some(&*id), "{denied}");
        let latest = fixture.streams.stream_read("s", "$", 1, None).await;
        assert_eq!(latest.unwrap(), [], "{denied}");
    }
}

#[tokio::test]
async fn a_key_that_is_forbidden_does_not_end_the_use_of_scripts() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::with_user(version, "--user app on nopass ~s* &* +@all").await;
        let read = |stream: &'static str| fixture.streams.stream_read(stream, "0", 10, None);
        let before = fixture.calls("eval").await;
        let forbidden = within_limit(read("other")).await;
        assert_eq!(forbidden.unwrap_err().code(), "NOPERM");
        fill(&fixture, "s", 1, 1, 100).await;
        assert_eq!(within_limit(read("s")).await.unwrap().len(), 1);
        // That of `fill`, and that of the read.
        assert_eq!(fixture.calls("eval").await, before + 2);
    }
}

#[tokio::test]
async fn a_group_read_and_a_claim_take_no_more_than_fits() {
    let fixture = start(RedisVersion::V7_0).await;
    let streams = &fixture.streams;
    streams.stream_create_group("s", "g", "0").await.unwrap();
    for _ in 0..10 {
        fixture.add("s", &"v".repeat(MIB)).await;
    }
    let (found, _) = perform(&fixture, read_group("s", "g", "c", 100, None), 4 * MIB).await;
    assert_eq!(found.len(), 3);
    assert_eq!(
        fixture.pending().await.len(),
        3,
        "the others were not delivered"
    );
    let claim = Operation::Claim {
        stream: "s".into(),
        group: "g".into(),
        consumer: "d".into(),
        min_idle_ms: 0,
        start: "0-0".into(),
        count: 100,
    };
    let limits = PerformOptions::new(5 * MIB / 2);
    let claimed = streams.perform(vec![claim], limits).await.remove(0);
    let Ok(Reply::Claimed(claimed)) = claimed.finish().await else {
        panic!("no claim")
    };
    assert_eq!(claimed.entries.len(), 2);
    assert_ne!(claimed.cursor, "0-0", "the third one is left");
}

#[tokio::test]
async fn reads_of_many_pages_hold_no_more_than_the_memory_budget_has() {
    let server = RedisServer::start_with(RedisVersion::V7_0, &OUTPUT_LIMIT).unwrap();
    let budget = MemoryBudget::new(20 * MIB);
    let builder = RedisStreams::builder(&server.url()).memory_budget(budget.clone());
    let fixture = Fixture {
        streams: builder.connect().await.unwrap(),
        direct: connect_directly(&server).await,
        server,
    };
    fill(&fixture, "s", 1, 60, MIB / 4).await;
    let _: () = fixture.command("XGROUP CREATE s g 0").await.unwrap();
    for _ in 0..6 {
        let read = "XREADGROUP GROUP g c COUNT 5 STREAMS s >";
        let _: redis::Value = fixture.command(read).await.unwrap();
    }
    let operations = (0..8).flat_map(|_| {
        [
            read_pending("c", 30),
            read("s", "0", 0, None),
            read_latest("s", 60),
        ]
    });
    let limits = PerformOptions::new(5 * MIB);
    let progress = fixture.streams.perform(operations.collect(), limits).await;
    // Polled once, and then for a while not.
    let mut reads = Vec::new();
    for read in progress {
        let mut read = read.finish().boxed();
        assert!((&mut read).now_or_never().is_none());
        reads.push(read);
    }
    let small = within_limit(fixture.streams.stream_read("s", "59", 1, None)).await;
    assert_eq!(small.unwrap().len(), 1, "a read of one page does not wait");
    let check = |read: CacheResult<Reply>| {
        let held = budget.used_bytes_of(MemoryKind::Replies);
        assert!(held <= 20 * MIB - 20 * MIB / 8, "{held} bytes");
        let found = entries(read).0.len();
        assert!((15..=20).contains(&found), "{found} entries");
    };
    let done = join_all(reads.into_iter().map(|read| read.map(check)));
    within_limit(done).await;
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test]
async fn pages_need_no_scripts() {
    let fixture = Fixture::refusing(RedisVersion::V7_0, "-eval").await;
    fill(&fixture, "s", 1, 1_000, 1_000).await;
    let (found, _) = perform(&fixture, read("s", "0", 0, None), MIB / 2).await;
    let least = MIB / 2 / (1_000 + OVERHEAD);
    assert!(found.len() >= least, "{}", found.len());
    assert_eq!(ids(&found), expected_ids(1..=found.len()));
    let (found, _) = perform(&fixture, read_latest("s", 900), 4 * MIB).await;
    assert_eq!(ids(&found), expected_ids((101..=1_000).rev()));
}

#[tokio::test]
async fn entries_that_end_waits_and_feed_tails_come_in_pages() {
    for version in RedisVersion::ALL {
        let fixture = start(version).await;
        let streams = &fixture.streams;
        streams.stream_create_group("s", "g", "$").await.unwrap();
        // From now on the size of the entries is known.
        fill(&fixture, "s", 1, 1, MIB / 2).await;
        assert_eq!(streams.stream_read_latest("s", 1).await.unwrap().len(), 1);
        let mut tail = streams.tail("s", TailFrom::Now);
        first_position(&mut tail).await;
        let read = fixture.start_read("s", "$", 0).await;
        fixture.sync_with_hub().await;
        fill(&fixture, "s", 2, 20, MIB / 2).await;
        let (found, last_id) = entries(within_limit(read.finish()).await);
        assert_eq!(ids(&found), expected_ids(2..2 + found.len()));
        assert_eq!(last_id.as_ref(), ids(&found).last());

        let _: () = fixture.command("XGROUP SETID s g $").await.unwrap();
        let group_read = fixture.start_group_read("c", 0, 0).await;
        fixture.sync_with_hub().await;
        fill(&fixture, "s", 22, 20, MIB / 2).await;
        let (found, _) = entries(within_limit(group_read.finish()).await);
        assert_eq!(ids(&found), expected_ids(22..22 + found.len()));
        assert_eq!(fixture.pending().await.len(), found.len());

        let mut tailed = Vec::new();
        while tailed.len() < 40 {
            if let TailItem::Entries { entries, .. } = next(&mut tail).await.unwrap() {
                tailed.extend(ids(&entries));
            }
        }
        assert_eq!(tailed, expected_ids(2..=41));
    }
}
