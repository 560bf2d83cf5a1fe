//! Idempotent adds, on Redis and in memory: both backends answer alike.
//!
//! What only Redis can show is in `dedup_window.rs`.

use std::collections::BTreeMap;

use streamgate_backend::{Backend, PerformOptions};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::limits::{ADDS_REMEMBERED, MAX_FIELDS, MAX_PRODUCER_NUMBER};
use streamgate_protocol::{CacheResult, Operation};
use streamgate_redis::RedisStreams;
use streamgate_test_support::RedisVersion;

use crate::fixture::Fixture;

pub(crate) fn add_once(number: u64, after: u64, resent: bool) -> Operation<'static> {
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

pub(crate) async fn perform<B: Backend>(
    backend: &B,
    operations: Vec<Operation<'_>>,
) -> Vec<CacheResult<String>> {
    let mut results = Vec::new();
    for progress in backend.perform(operations, PerformOptions::default()).await {
        results.push(progress.finish().await.and_then(|reply| reply.into_added()));
    }
    results
}

pub(crate) async fn perform_one<B: Backend>(
    backend: &B,
    operation: Operation<'_>,
) -> CacheResult<String> {
    perform(backend, vec![operation]).await.remove(0)
}

pub(crate) async fn error_code<B: Backend>(backend: &B, operation: Operation<'_>) -> String {
    perform_one(backend, operation)
        .await
        .unwrap_err()
        .code()
        .to_owned()
}

/// Returns the ids and numbers of the stream's entries, in order.
pub(crate) async fn numbers<B: Backend>(backend: &B) -> Vec<(String, u64)> {
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
        error_code(backend, with(MAX_FIELDS + 1, "p")).await,
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
    let added = perform_one(backend, with(MAX_FIELDS, &longest)).await;
    assert!(added.is_ok(), "{added:?}");
}

/// A producer is remembered by the adds that were stored, whatever their numbers.
async fn numbers_may_be_far_apart<B: Backend>(backend: &B) {
    let first = perform_one(backend, add_once(1, 0, false)).await.unwrap();
    perform_one(backend, add_once(5_000, 1, false))
        .await
        .unwrap();
    let again = perform_one(backend, add_once(1, 0, true)).await;
    assert_eq!(again, Ok(first));
    assert_eq!(
        error_code(backend, add_once(4_999, 1, true)).await,
        "SKIPPED"
    );
    let last = perform_one(backend, add_once(MAX_PRODUCER_NUMBER, 5_000, false)).await;
    let again = perform_one(backend, add_once(MAX_PRODUCER_NUMBER, 5_000, true)).await;
    assert!(last.is_ok());
    assert_eq!(again, last);
    assert_eq!(numbers(backend).await.len(), 3);
}

/// What was added before the oldest add that is remembered may have been stored.
async fn an_older_add_is_forgotten<B: Backend>(backend: &B) {
    perform_one(backend, add_once(7, 0, false)).await.unwrap();
    for number in [1, 6] {
        let error = perform_one(backend, add_once(number, 0, true)).await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), "FORGOTTEN");
        assert!(error.message().contains(&number.to_string()), "{error}");
    }
    for number in 8..=2_200 {
        perform_one(backend, add_once(number, number - 1, false))
            .await
            .unwrap();
    }
    assert_eq!(error_code(backend, add_once(7, 0, true)).await, "FORGOTTEN");
    let oldest_remembered = 2_200 - ADDS_REMEMBERED + 1;
    let again = perform_one(backend, add_once(oldest_remembered, 0, true)).await;
    assert!(again.is_ok(), "{again:?}");
    assert_eq!(numbers(backend).await.len(), 2_194);
}

/// The refusal says which number is the last, so that the producer can go on after it.
async fn a_refusal_names_the_last_number<B: Backend>(backend: &B) {
    for last in [0, 3] {
        let refused = perform_one(backend, add_once(9, 8, false)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), "OUT_OF_ORDER");
        assert!(refused.message().contains("number 8"), "{refused}");
        assert!(
            refused.message().ends_with(&format!("number {last}")),
            "{refused}"
        );
        let adds = (1..=3).map(|number| add_once(number, number - 1, false));
        assert!(
            perform(backend, adds.collect())
                .await
                .iter()
                .all(Result::is_ok)
        );
    }
}

/// Producers and streams whose names are alike have a window each.
async fn names_do_not_collide<B: Backend>(backend: &B) {
    let streams = [
        "cX", "b:cX", "a:b:cX", "{cX}", "x{cX}", "{cX}:a", "cX:a", "a", "}", "{}", "{}a",
    ];
    for stream in streams {
        for producer in ["a", "b", "cX"] {
            let mut add = add_once(1, 0, false);
            if let Operation::IdempotentAdd {
                stream: of,
                producer: by,
                ..
            } = &mut add
            {
                (*of, *by) = (stream.into(), producer.into());
            }
            perform_one(backend, add).await.unwrap();
        }
        let entries = backend.stream_read(stream, "0", 0, None).await.unwrap();
        assert_eq!(entries.len(), 3, "{stream}");
    }
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
            } else if let Err(error) = result {
                assert_eq!(error.code(), "FORGOTTEN");
            } else {
                // A backend may remember more than it has to.
                assert_eq!(result.as_ref(), Ok(&known[&number]));
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
    numbers_may_be_far_apart(&MemoryStreams::new()).await;
    an_older_add_is_forgotten(&MemoryStreams::new()).await;
    a_refusal_names_the_last_number(&MemoryStreams::new()).await;
    names_do_not_collide(&MemoryStreams::new()).await;
    let streams = MemoryStreams::new();
    random_repeats([&streams, &streams.clone()], fastrand::u64(..)).await;
}

#[tokio::test]
async fn repeated_adds_are_stored_once_on_redis() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let other = RedisStreams::connect(&fixture.server.url()).await.unwrap();
        random_repeats([&fixture.streams, &other], fastrand::u64(..)).await;
        let emptied = async || {
            fixture.command::<()>("FLUSHALL").await.unwrap();
            &fixture.streams
        };
        repeats_are_stored_once(emptied().await).await;
        bad_adds_are_refused(emptied().await).await;
        numbers_may_be_far_apart(emptied().await).await;
        an_older_add_is_forgotten(emptied().await).await;
        a_refusal_names_the_last_number(emptied().await).await;
        names_do_not_collide(emptied().await).await;
    }
}
