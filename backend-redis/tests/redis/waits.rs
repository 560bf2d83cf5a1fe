//! Readers that wait in the hub.

use streamgate_backend::{Backend, PerformOptions};
use streamgate_protocol::Reply;
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, UNTRACKED, add, entries, read, values, within_limit};

#[tokio::test]
pub(crate) async fn an_empty_reply_names_the_id_to_read_on_from() {
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
pub(crate) async fn readers_of_one_stream_have_their_own_ids_and_counts() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    // There is no entry yet, so all of them wait.
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
        let found = entries(within_limit(waited).await).0;
        let ids: Vec<&str> = found.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, expected, "after {last_id}, at most {count}");
    }
    let _: String = fixture.command("XADD s 104 f v").await.unwrap();
    assert_eq!(entries(within_limit(last).await).0[0].id, "104-0");
}

#[tokio::test]
pub(crate) async fn a_reader_survives_the_deletion_of_its_stream() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let _: String = fixture.command("XADD s 100 f old").await.unwrap();
        let waiting = fixture.start_read("s", "$", 9_000).await.finish();
        let other = fixture.start_read("other", "0", 9_000).await.finish();
        let _: () = fixture.command("DEL s").await.unwrap();
        // The reader waits for ids above its own.
        let _: String = fixture.command("XADD s 50 f low").await.unwrap();
        let _: () = fixture.command("FLUSHALL").await.unwrap();
        // The reader waits on while the key has another type.
        let _: () = fixture.command("SET s string").await.unwrap();
        let still = fixture
            .start_read("elsewhere", "$", 50)
            .await
            .finish()
            .await;
        assert_eq!(entries(still).0, []);
        let _: () = fixture.command("DEL s").await.unwrap();
        let _: String = fixture.command("XADD s 101 f new").await.unwrap();
        let _: String = fixture.command("XADD other * f v").await.unwrap();
        assert_eq!(values(&entries(within_limit(waiting).await).0), ["new"]);
        assert_eq!(values(&entries(within_limit(other).await).0), ["v"]);
    }
}

#[tokio::test]
pub(crate) async fn a_dropped_read_is_forgotten() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let kept = fixture.start_read("s", "$", 9_000).await;
    drop(fixture.start_read("s", "$", 0).await);
    drop(fixture.start_read("nobody waits", "$", 0).await);
    fixture.sync_with_hub().await;
    let reads = fixture.calls("xread").await;
    for _ in 0..20 {
        fixture.add("nobody waits", "1").await;
    }
    fixture.add("s", "1").await;
    assert_eq!(values(&entries(within_limit(kept.finish()).await).0), ["1"]);
    let more_reads = fixture.calls("xread").await - reads;
    // Where Redis refuses tracking, the blocking read for the other streams may start only now.
    let limit = if UNTRACKED.get() { 3 } else { 1 };
    assert!(
        (1..=limit).contains(&more_reads),
        "only one reader waits, but there were {more_reads} reads"
    );
}

#[tokio::test]
pub(crate) async fn readers_in_a_loop_see_every_entry_once() {
    const ENTRIES: usize = 2_000;
    let fixture = Fixture::new(RedisVersion::V8_2).await;
    let reading = async |count: u64| {
        let (mut last_id, mut seen) = ("0-0".to_owned(), Vec::new());
        while seen.len() < ENTRIES {
            let progress = fixture
                .streams
                .perform(
                    vec![read("s", &last_id, count, Some(0))],
                    PerformOptions::default(),
                )
                .await;
            let (found, next) = entries(progress.into_iter().next().unwrap().finish().await);
            assert_ne!(found, []);
            seen.extend(
                found
                    .into_iter()
                    .map(|mut entry| entry.fields.remove(0).1.into_text()),
            );
            last_id = next.unwrap();
        }
        seen
    };
    let adding = async {
        for n in 0..ENTRIES {
            let mut added = fixture
                .streams
                .perform(vec![add("s", &n.to_string())], PerformOptions::default())
                .await;
            let added = added.remove(0).finish().await.unwrap();
            assert!(matches!(added, Reply::Added { .. }));
        }
    };
    let (one, three, all, ()) =
        within_limit(async { tokio::join!(reading(1), reading(3), reading(0), adding) }).await;
    let expected: Vec<String> = (0..ENTRIES).map(|n| n.to_string()).collect();
    assert_eq!(one, expected);
    assert_eq!(three, expected);
    assert_eq!(all, expected);
}
