//! Idempotent adds, on Redis and in memory: both backends answer alike.

use std::collections::BTreeMap;

use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::limits::{ADDS_REMEMBERED, MAX_FIELDS_ONCE};
use streamgate_protocol::{CacheResult, Operation};
use streamgate_redis::RedisStreams;
use streamgate_test_support::RedisVersion;

use crate::fixture::Fixture;

fn add_once(number: u64, after: u64, resent: bool) -> Operation<'static> {
    Operation::IdempotentAdd {
        stream: "s".into(),
        fields: vec![("n".into(), number.to_string().into())],
        maxlen: None,
        producer: "p".into(),
        number,
        after,
        resent,
    }
}

async fn perform<B: Backend>(
    backend: &B,
    operations: Vec<Operation<'_>>,
) -> Vec<CacheResult<String>> {
    let mut results = Vec::new();
    for progress in backend.perform(operations).await {
        results.push(progress.finish().await.and_then(|reply| reply.into_added()));
    }
    results
}

async fn perform_one<B: Backend>(backend: &B, operation: Operation<'_>) -> CacheResult<String> {
    perform(backend, vec![operation]).await.remove(0)
}

async fn error_code<B: Backend>(backend: &B, operation: Operation<'_>) -> String {
    perform_one(backend, operation)
        .await
        .unwrap_err()
        .code()
        .to_owned()
}

/// Returns the ids and numbers of the stream's entries, in order.
async fn numbers<B: Backend>(backend: &B) -> Vec<(String, u64)> {
    let entries = backend.stream_read("s", "0", 0, None).await.unwrap();
    let number = |(id, fields): (String, Vec<(String, String)>)| (id, fields[0].1.parse().unwrap());
    entries.into_iter().map(number).collect()
}

async fn repeats_are_stored_once<B: Backend>(backend: &B) {
    let first = perform_one(backend, add_once(1, 0, false)).await.unwrap();
    assert_eq!(
        perform_one(backend, add_once(1, 0, true)).await,
        Ok(first.clone())
    );
    assert_eq!(
        perform_one(backend, add_once(1, 0, false)).await,
        Ok(first.clone()),
        "whether or not it says that it is a repeat"
    );
    let run = (1..=5).map(|n| add_once(n, n - 1, true)).collect();
    let run = perform(backend, run).await;
    assert_eq!(run[0], Ok(first));
    assert!(run.iter().all(Result::is_ok), "{run:?}");
    assert_eq!(numbers(backend).await.len(), 5);

    // 7 must not be stored before 6.
    assert_eq!(
        error_code(backend, add_once(7, 6, false)).await,
        "OUT_OF_ORDER"
    );
    let late = perform(backend, vec![add_once(8, 7, false), add_once(9, 8, false)]).await;
    let codes: Vec<_> = late
        .into_iter()
        .map(|add| add.unwrap_err().code().to_owned())
        .collect();
    assert_eq!(codes, ["OUT_OF_ORDER"; 2]);
    // The producer gives 6 up, so 7 may be stored; then 6 never is.
    let seventh = perform_one(backend, add_once(7, 5, false)).await.unwrap();
    assert_eq!(error_code(backend, add_once(6, 5, true)).await, "SKIPPED");
    assert_eq!(
        perform_one(backend, add_once(7, 5, true)).await,
        Ok(seventh)
    );
    let eighth = perform_one(backend, add_once(8, 7, false)).await.unwrap();
    assert_eq!(perform_one(backend, add_once(8, 7, true)).await, Ok(eighth));
    assert_eq!(error_code(backend, add_once(6, 5, true)).await, "SKIPPED");
    let numbers: Vec<_> = numbers(backend).await.into_iter().map(|(_, n)| n).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 7, 8]);
}

async fn bad_adds_are_refused<B: Backend>(backend: &B) {
    let with = |fields: usize, producer: &str| Operation::IdempotentAdd {
        stream: "s".into(),
        fields: vec![("f".into(), "v".into()); fields],
        maxlen: None,
        producer: producer.to_owned().into(),
        number: 1,
        after: 0,
        resent: false,
    };
    assert_eq!(error_code(backend, with(0, "p")).await, "ERR");
    assert_eq!(
        error_code(backend, with(MAX_FIELDS_ONCE + 1, "p")).await,
        "LIMIT"
    );
    for name in ["", "a:b", "a b", "{a}", "naïve", &"p".repeat(65)] {
        assert_eq!(error_code(backend, with(1, name)).await, "ERR", "{name:?}");
    }
    assert_eq!(error_code(backend, add_once(1, 1, false)).await, "ERR");
    assert_eq!(
        error_code(backend, add_once(u64::MAX, 1, false)).await,
        "ERR"
    );
    let unknown = error_code(backend, add_once(5, 4, true)).await;
    assert_eq!(unknown, "OUT_OF_ORDER", "nothing is known of its producer");
    let longest = "AZaz09_-".repeat(8);
    let added = perform_one(backend, with(MAX_FIELDS_ONCE, &longest)).await;
    assert!(added.is_ok(), "{added:?}");
}

/// Adds batches, any part of which repeats earlier adds at random, until the dedup window has
/// wrapped around several times. A third of the batches go through the other backend.
async fn random_repeats<B: Backend>(backends: [&B; 2], seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut known: BTreeMap<u64, String> = BTreeMap::new();
    let mut last = 0;
    while last < 5 * ADDS_REMEMBERED {
        let backend = backends[usize::from(random.u8(..3) == 0)];
        let back = match random.u8(..10) {
            0..6 => 0,
            6..9 => random.u64(..20),
            _ => random.u64(..1_300),
        };
        let first = (last + 1).saturating_sub(back).max(1);
        let count = random.u64(1..200);
        let run: Vec<_> = (first..first + count).collect();
        let resent = back > 0;
        let operations = run.iter().map(|n| add_once(*n, n - 1, resent)).collect();
        let results = perform(backend, operations).await;
        for (number, result) in run.into_iter().zip(results) {
            if number > last {
                known.insert(number, result.unwrap());
                last = number;
            } else if last - number < ADDS_REMEMBERED {
                assert_eq!(
                    result.as_ref(),
                    Ok(&known[&number]),
                    "{number} of {last}, seed {seed}"
                );
            } else {
                assert_eq!(result.unwrap_err().code(), "FORGOTTEN");
            }
        }
    }
    let expected: Vec<_> = known.into_iter().map(|(number, id)| (id, number)).collect();
    assert_eq!(numbers(backends[0]).await, expected, "seed {seed}");
}

#[tokio::test]
async fn repeated_adds_are_stored_once_in_memory() {
    repeats_are_stored_once(&MemoryStreams::new()).await;
    bad_adds_are_refused(&MemoryStreams::new()).await;
    let streams = MemoryStreams::new();
    random_repeats([&streams, &streams.clone()], fastrand::u64(..)).await;
}

#[tokio::test]
async fn repeated_adds_are_stored_once_on_redis() {
    for version in [RedisVersion::V7_0, RedisVersion::V8_2] {
        repeats_are_stored_once(&Fixture::new(version).await.streams).await;
        bad_adds_are_refused(&Fixture::new(version).await.streams).await;
        let fixture = Fixture::new(version).await;
        let other = RedisStreams::connect(&fixture.server.url()).await.unwrap();
        random_repeats([&fixture.streams, &other], fastrand::u64(..)).await;
    }
}

#[tokio::test]
async fn a_refused_add_stops_the_adds_after_it() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture.command::<()>("SET s x").await.unwrap();
    let results = perform(
        &fixture.streams,
        vec![add_once(1, 0, false), add_once(2, 1, false)],
    )
    .await;
    let codes: Vec<_> = results
        .into_iter()
        .map(|result| result.unwrap_err().code().to_owned())
        .collect();
    assert_eq!(codes, ["WRONGTYPE", "OUT_OF_ORDER"]);
    fixture.command::<()>("DEL s").await.unwrap();
    assert!(
        perform_one(&fixture.streams, add_once(2, 0, true))
            .await
            .is_ok()
    );
    assert_eq!(
        error_code(&fixture.streams, add_once(1, 0, true)).await,
        "SKIPPED"
    );
}

#[tokio::test]
async fn the_dedup_window_expires_and_holds_no_fields() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let keys = async || fixture.command::<Vec<String>>("KEYS *").await.unwrap();
    for number in 1..=10 {
        perform_one(&fixture.streams, add_once(number, number - 1, false))
            .await
            .unwrap();
    }
    let mut found = keys().await;
    found.sort();
    assert_eq!(found, ["s", "streamgate:once:p:s"]);
    let left: u64 = fixture.command("PTTL streamgate:once:p:s").await.unwrap();
    assert!((500_000..=600_000).contains(&left), "{left}");
    let bytes: usize = fixture.command("STRLEN streamgate:once:p:s").await.unwrap();
    assert_eq!(bytes, 12 * 32);
    // A window that is lost is created anew, with a time-to-live of its own.
    fixture
        .command::<()>("DEL streamgate:once:p:s")
        .await
        .unwrap();
    assert_eq!(
        error_code(&fixture.streams, add_once(10, 9, true)).await,
        "OUT_OF_ORDER"
    );
    perform_one(&fixture.streams, add_once(11, 0, false))
        .await
        .unwrap();
    let left: u64 = fixture.command("PTTL streamgate:once:p:s").await.unwrap();
    assert!((500_000..=600_000).contains(&left), "{left}");
    assert_eq!(
        error_code(&fixture.streams, add_once(10, 9, true)).await,
        "SKIPPED"
    );
}

#[tokio::test]
async fn an_unknown_script_is_loaded_again() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture.command::<()>("SCRIPT FLUSH").await.unwrap();
    assert_eq!(
        error_code(&fixture.streams, add_once(1, 0, false)).await,
        "TRYAGAIN"
    );
    assert!(
        perform_one(&fixture.streams, add_once(1, 0, true))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn without_scripts_adds_are_plain_and_repeats_fail() {
    let user = "--user app on nopass ~* &* +@all -script";
    let fixture = Fixture::with_user(RedisVersion::V7_0, user).await;
    assert!(
        perform_one(&fixture.streams, add_once(1, 0, false))
            .await
            .is_ok()
    );
    assert_eq!(
        error_code(&fixture.streams, add_once(1, 0, true)).await,
        "FORGOTTEN"
    );
    assert_eq!(numbers(&fixture.streams).await.len(), 1);
}

#[tokio::test]
async fn ids_too_long_for_the_window_are_returned_once() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let first = "18446744073709551600-1844674407370955";
    fixture
        .command::<()>(&format!("XADD s {first} n 0"))
        .await
        .unwrap();
    let run = (1..=3)
        .map(|number| add_once(number, number - 1, false))
        .collect();
    let run: Vec<_> = perform(&fixture.streams, run)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let there: Vec<_> = numbers(&fixture.streams)
        .await
        .into_iter()
        .skip(1)
        .collect();
    assert_eq!(there, run.into_iter().zip(1..).collect::<Vec<_>>());
    assert_eq!(
        error_code(&fixture.streams, add_once(2, 1, true)).await,
        "FORGOTTEN"
    );
    assert_eq!(numbers(&fixture.streams).await.len(), 4);
}
