//! Readers that wait.

use std::time::Duration;

use futures_util::future::join_all;
use streamgate_backend::Backend;
use streamgate_protocol::{Reply, StreamingBackend};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, add, entries, read, soon, timed, values};

#[tokio::test]
pub(crate) async fn an_idle_wait_ends_empty_after_its_time() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let wait =
            async |ms: usize| timed(fixture.streams.stream_read("s", "$", 1, Some(ms))).await;
        let ((first, took_1), (second, took_700), (third, took_3000)) =
            tokio::join!(wait(1), wait(700), wait(3_000));
        assert_eq!((first, second, third), (Ok(vec![]), Ok(vec![]), Ok(vec![])));
        assert!((1..1_000).contains(&took_1), "{took_1}");
        assert!((700..1_700).contains(&took_700), "{took_700}");
        assert!((3_000..4_000).contains(&took_3000), "{took_3000}");
    }
}

#[tokio::test]
pub(crate) async fn an_add_beside_a_blocked_read_is_not_delayed() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let waiting = fixture.start_read("idle", "$", 0).await;
    let waiting = tokio::time::timeout(Duration::from_millis(1_000), waiting.finish());
    let adding = async {
        let mut slowest = 0;
        for _ in 0..50 {
            slowest = slowest.max(timed(fixture.add("s", "x")).await.1);
        }
        slowest
    };
    let (waited, slowest) = tokio::join!(waiting, adding);
    assert!(waited.is_err(), "the read waits on");
    assert!(slowest < 500, "an add took {slowest} ms");
}

#[tokio::test]
pub(crate) async fn the_last_id_misses_nothing_that_is_added_behind_it() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        fixture.add("s", "before").await;
        let operations = vec![
            read("s", "$", 0, Some(5_000)),
            add("s", "behind"),
            read("missing", "$", 0, Some(5_000)),
            add("missing", "first"),
            read("s", "$", 0, None),
        ];
        let results = join_all(
            fixture
                .streams
                .perform(operations)
                .await
                .into_iter()
                .map(|p| p.finish()),
        );
        let mut results = soon(results).await;
        let (at_end, resolved) = entries(results.pop().unwrap());
        let first = entries(results.remove(2));
        let behind = entries(results.remove(0));
        assert_eq!(values(&behind.0), ["behind"]);
        assert_eq!(values(&first.0), ["first"]);
        assert_eq!(at_end, []);
        assert_eq!(resolved.as_deref(), Some(behind.0[0].0.as_str()));
        assert_eq!(behind.1, resolved);
    }
}

#[tokio::test]
pub(crate) async fn an_empty_answer_names_the_id_to_read_on_from() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let id = fixture.add("s", "1").await;
    let resolved = entries(fixture.start_read("s", "$", 20).await.finish().await);
    assert_eq!(resolved, (vec![], Some(id)));
    let missing = entries(fixture.start_read("missing", "$", 20).await.finish().await);
    assert_eq!(missing, (vec![], Some("0-0".to_owned())));
    let asked = entries(fixture.start_read("missing", "5", 20).await.finish().await);
    assert_eq!(asked, (vec![], Some("5".to_owned())));
}

#[tokio::test]
pub(crate) async fn waits_without_a_limit_are_ended_by_an_entry() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let endless = fixture.start_read("s", "0", 0).await;
    let longest = fixture.start_read("s", "0-0", u64::MAX).await;
    fixture.add("s", "1").await;
    let (endless, longest) = soon(async { tokio::join!(endless.finish(), longest.finish()) }).await;
    assert_eq!(values(&entries(endless).0), ["1"]);
    assert_eq!(values(&entries(longest).0), ["1"]);
}

#[tokio::test]
pub(crate) async fn each_reader_gets_what_comes_after_its_own_id_up_to_its_count() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    // Nothing comes after 100 yet, so all of them wait.
    let cases: [(&str, u64, &[&str]); 6] = [
        ("100", 1, &["101-0"]),
        ("100", 2, &["101-0", "102-0"]),
        ("100", 0, &["101-0", "102-0", "103-0"]),
        ("101", 1, &["102-0"]),
        ("102-0", 7, &["103-0"]),
        ("103", 1, &["104-0"]),
    ];
    let mut waiting = Vec::new();
    for (last_id, count, _) in cases {
        waiting.push(
            fixture
                .start(read("s", last_id, count, Some(9_000)))
                .await
                .finish(),
        );
    }
    let _: Vec<String> = redis::pipe()
        .atomic()
        .cmd("XADD")
        .arg(&["s", "101", "f", "v"])
        .cmd("XADD")
        .arg(&["s", "102", "f", "v"])
        .cmd("XADD")
        .arg(&["s", "103", "f", "v"])
        .query_async(&mut fixture.direct.clone())
        .await
        .unwrap();
    let last = waiting.pop().unwrap();
    for (waited, (last_id, count, expected)) in waiting.into_iter().zip(cases) {
        let found = entries(soon(waited).await).0;
        let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, expected, "after {last_id}, at most {count}");
    }
    let _: String = fixture.ask("XADD s 104 f v").await.unwrap();
    assert_eq!(entries(soon(last).await).0[0].0, "104-0");
}

#[tokio::test]
pub(crate) async fn a_stream_may_be_deleted_and_come_back_under_a_reader() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let _: String = fixture.ask("XADD s 100 f old").await.unwrap();
        let waiting = fixture.start_read("s", "$", 9_000).await.finish();
        let other = fixture.start_read("other", "0", 9_000).await.finish();
        let _: () = fixture.ask("DEL s").await.unwrap();
        // Lower ids than the reader's are not for it.
        let _: String = fixture.ask("XADD s 50 f low").await.unwrap();
        let _: () = fixture.ask("FLUSHALL").await.unwrap();
        // Another type for a while is no reason to stop waiting.
        let _: () = fixture.ask("SET s string").await.unwrap();
        let still = fixture
            .start_read("elsewhere", "$", 50)
            .await
            .finish()
            .await;
        assert_eq!(entries(still).0, []);
        let _: () = fixture.ask("DEL s").await.unwrap();
        let _: String = fixture.ask("XADD s 101 f new").await.unwrap();
        let _: String = fixture.ask("XADD other * f v").await.unwrap();
        assert_eq!(values(&entries(soon(waiting).await).0), ["new"]);
        assert_eq!(values(&entries(soon(other).await).0), ["v"]);
    }
}

#[tokio::test]
pub(crate) async fn a_dropped_read_is_forgotten() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let kept = fixture.start_read("s", "$", 9_000).await;
    drop(fixture.start_read("s", "$", 0).await);
    drop(fixture.start_read("nobody waits", "$", 0).await);
    // Ends once the hub has handled all that came before it.
    fixture
        .start_read("other", "$", 50)
        .await
        .finish()
        .await
        .unwrap();
    let reads = fixture.calls("xread").await;
    for _ in 0..20 {
        fixture.add("nobody waits", "1").await;
    }
    fixture.add("s", "1").await;
    assert_eq!(values(&entries(soon(kept.finish()).await).0), ["1"]);
    assert_eq!(fixture.calls("xread").await, reads + 1, "only one waits");
}

#[tokio::test]
pub(crate) async fn a_waiting_reader_gets_what_is_not_utf8() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let waiting = fixture.start_read("s", "$", 9_000).await;
    let mut raw = redis::cmd("XADD");
    raw.arg("s").arg("*").arg("f").arg(b"\xff");
    let _: String = raw.query_async(&mut fixture.direct.clone()).await.unwrap();
    assert_eq!(
        values(&entries(soon(waiting.finish()).await).0),
        ["\u{fffd}"]
    );
}

#[tokio::test]
pub(crate) async fn a_reader_that_reads_on_sees_every_entry_once() {
    const ENTRIES: usize = 2_000;
    let fixture = Fixture::new(RedisVersion::V8_2).await;
    let reading = async |count: u64| {
        let (mut last_id, mut seen) = ("0-0".to_owned(), Vec::new());
        while seen.len() < ENTRIES {
            let progress = fixture
                .streams
                .perform(vec![read("s", &last_id, count, Some(0))])
                .await;
            let (found, next) = entries(progress.into_iter().next().unwrap().finish().await);
            assert_ne!(found, []);
            seen.extend(found.into_iter().map(|(_, mut fields)| fields.remove(0).1));
            last_id = next.unwrap();
        }
        seen
    };
    let adding = async {
        for n in 0..ENTRIES {
            let mut added = fixture
                .streams
                .perform(vec![add("s", &n.to_string())])
                .await;
            let added = added.remove(0).finish().await.unwrap();
            assert!(matches!(added, Reply::Added { .. }));
        }
    };
    let (one, three, all, ()) =
        soon(async { tokio::join!(reading(1), reading(3), reading(0), adding) }).await;
    let expected: Vec<String> = (0..ENTRIES).map(|n| n.to_string()).collect();
    assert_eq!(one, expected);
    assert_eq!(three, expected);
    assert_eq!(all, expected);
}
