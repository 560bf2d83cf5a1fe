//! Tests the cases themselves: a backend that is broken on purpose must fail a case, and the same
//! backend unbroken must pass all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use streamgate_conformance::cases;
use streamgate_conformance::fixture::{DirectRedis, FullBackend, Operations};
use streamgate_conformance::run::{Plan, Subject, run};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::{
    CacheResult, EntryId, EntryOperations as _, Operation, PerformOperation as _, Reply,
    StreamEntry,
};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

mod consumers;
mod faults;
mod groups;
mod operations;
mod tails;

use faults::{FAULTS, Fault};

/// Faults tested at the same time. Most fail a case at once, some only by a timeout.
const FAULTS_AT_ONCE: usize = 8;

/// All cases at once: they spend nearly all of their time waiting.
const ALL: Plan = Plan {
    at_once: 256,
    heavy_at_once: 256,
    timeout: Duration::from_secs(600),
    stop_at_failure: false,
};

/// A broken backend may leave a case waiting for ever. The case then fails after this time.
const UNTIL_FAILURE: Plan = Plan {
    at_once: 256,
    heavy_at_once: 256,
    timeout: Duration::from_secs(30),
    stop_at_failure: true,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_not_broken_passes() {
    let cases = cases::all();
    let tally = run(&in_memory(Fault::None), &cases, ALL).await;
    assert_eq!(tally.failures, []);
    let everywhere = cases
        .iter()
        .filter(|case| !case.needs_redis() && !case.needs_operations())
        .count();
    assert_eq!(tally.run, everywhere);
    assert_eq!(tally.not_applicable, cases.len() - everywhere);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_an_operation_is_found() {
    let is_ours = |name: &str| {
        let name = name.to_lowercase();
        !["tail", "consume"]
            .iter()
            .any(|other| name.starts_with(other))
    };
    every_fault_is_found(is_ours, is_ours).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_tail_is_found() {
    every_fault_is_found(
        |name| name.starts_with("Tail"),
        |topic| topic.starts_with("tail"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_consumer_is_found() {
    let topics = |topic: &str| topic.starts_with("consume");
    every_fault_is_found(|name| name.starts_with("Consume"), topics).await;
}

/// Checks that cases of these topics find each fault of these names. Cases of other topics cost
/// time, and might find by chance a fault that these miss.
async fn every_fault_is_found(ours: fn(&str) -> bool, topics: fn(&str) -> bool) {
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let mut cases = cases::all();
    cases.retain(|case| topics(case.topic));
    let cases = &cases;
    let faults = FAULTS.iter().filter(|fault| ours(&format!("{fault:?}")));
    // `Fault::None` must not be found. Only a hang reaches its limit, on any machine.
    let found: Vec<_> = futures_util::stream::iter(faults.chain([&Fault::None]))
        .map(|fault| async move {
            let plan = match fault {
                Fault::None => ALL,
                _ => UNTIL_FAILURE,
            };
            (*fault, run(&in_memory(*fault), cases, plan).await)
        })
        .buffer_unordered(FAULTS_AT_ONCE)
        .collect()
        .await;
    let mut unnoticed = Vec::new();
    for (fault, tally) in found {
        match tally.failures.first() {
            Some(failure) => {
                println!("{fault:?} is found by {}: {}", failure.case, failure.reason);
                assert_ne!(fault, Fault::None);
            }
            None => unnoticed.push(fault),
        }
    }
    assert_eq!(unnoticed, [Fault::None], "passed all cases");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_does_nothing_is_found() {
    let server = RedisServer::start(RedisVersion::V7_0).unwrap();
    let mut cases = cases::all();
    cases.retain(|case| case.topic == "ack");
    let mut found = Vec::new();
    for fault in [Fault::None, Fault::AckAcknowledgesNothing] {
        let inner = Arc::new(RedisStreams::connect(&server.url()).await.unwrap());
        let backend = Arc::new(Broken::new(inner, fault));
        let direct_redis = Some(DirectRedis::open(&server.url()).await.unwrap());
        let tally = run(
            &Subject {
                backend,
                operations: None,
                direct_redis,
            },
            &cases,
            ALL,
        )
        .await;
        assert_eq!(tally.run, cases.len());
        found.push(tally.failures.len());
    }
    assert_eq!(found[0], 0);
    assert!(found[1] > 0);
}

/// Reads pending entries by claiming them, which counts as a delivery.
struct DeliversAgain(MemoryStreams);

impl Operations for DeliversAgain {
    fn perform(&self, operation: Operation<'static>) -> BoxFuture<'_, CacheResult<Reply>> {
        async move {
            let Operation::ReadPending {
                stream,
                group,
                consumer,
                after,
                ..
            } = operation
            else {
                return self.0.perform_operation(operation).await;
            };
            let after = EntryId::parse(&after)?;
            let start = String::from(after.successor().unwrap_or_default());
            let claim = self
                .0
                .claim_entries(stream, group, consumer, 0, &start, 100);
            Ok(Reply::entries(claim.await?.entries))
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_read_of_pending_entries_that_counts_as_a_delivery_is_found() {
    let backend = MemoryStreams::new();
    let subject = Subject {
        backend: Arc::new(backend.clone()),
        operations: Some(Arc::new(DeliversAgain(backend))),
        direct_redis: None,
    };
    let mut cases = cases::all();
    cases.retain(|case| case.name == "a_read_counts_no_delivery_and_resets_no_idle_time");
    let tally = run(&subject, &cases, ALL).await;
    assert_eq!((tally.run, tally.failures.len()), (1, 1));
}

fn in_memory(fault: Fault) -> Subject {
    let backend = Arc::new(Broken::new(Arc::new(MemoryStreams::new()), fault));
    Subject {
        backend,
        operations: None,
        direct_redis: None,
    }
}

/// A backend with one fault.
struct Broken {
    inner: Arc<dyn FullBackend>,
    fault: Fault,
    added: AtomicUsize,
    /// Locked by waits and tails, for the faults in which they block adds.
    waiting: Arc<tokio::sync::RwLock<()>>,
    /// The entries that each group received last.
    delivered: tokio::sync::Mutex<HashMap<(String, String), Vec<StreamEntry>>>,
}

impl Broken {
    fn new(inner: Arc<dyn FullBackend>, fault: Fault) -> Self {
        Self {
            inner,
            fault,
            added: AtomicUsize::new(0),
            waiting: Arc::default(),
            delivered: tokio::sync::Mutex::default(),
        }
    }
}
