//! Runs cases against one backend.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use crate::cases::Case;
use crate::fixture::{DirectRedis, Fixture, FullBackend, Operations};

/// The backend that cases run against.
#[derive(Clone)]
pub struct Subject {
    /// The backend under test.
    pub backend: Arc<dyn FullBackend>,
    /// The same backend for operations as data. The npm package has none.
    pub operations: Option<Arc<dyn Operations>>,
    /// The Redis behind it, if there is one.
    pub direct_redis: Option<DirectRedis>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("direct_redis", &self.direct_redis)
            .finish_non_exhaustive()
    }
}

/// How cases are run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Cases at the same time.
    pub at_once: usize,
    /// Heavy cases at the same time, after all others.
    pub heavy_at_once: usize,
    /// A case that takes longer hangs, and fails.
    pub timeout: Duration,
    /// Whether the first failure ends the run.
    pub stop_at_failure: bool,
}

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases that ran to their end, passed or failed.
    pub run: usize,
    /// Those of them that failed.
    pub failures: Vec<Failure>,
    /// Cases that need what the backend does not have.
    pub not_applicable: usize,
}

/// A case that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its [path](Case::path).
    pub case: String,
    /// Where and why.
    pub reason: String,
}

thread_local! {
    /// The message and location of the panic that unwinds on this thread.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs the cases that apply, several at a time, and counts them. Heavy cases run last, among
/// themselves.
pub async fn run(subject: &Subject, cases: &[Case], plan: Plan) -> Tally {
    record_panics();
    let mut tally = Tally::default();
    for (heavy, at_once) in [(false, plan.at_once), (true, plan.heavy_at_once)] {
        let cases = cases.iter().filter(|case| case.heavy == heavy);
        run_pass(subject, cases, Plan { at_once, ..plan }, &mut tally).await;
        if plan.stop_at_failure && !tally.failures.is_empty() {
            break;
        }
    }
    tally
}

async fn run_pass(
    subject: &Subject,
    mut left: impl Iterator<Item = &Case>,
    plan: Plan,
    tally: &mut Tally,
) {
    let mut running = JoinSet::new();
    loop {
        while running.len() < plan.at_once {
            let Some(case) = left.next() else { break };
            let fixture = Fixture::new(Arc::clone(&subject.backend), &prefix(case));
            match case.on(fixture, subject) {
                Some(body) => drop(running.spawn(run_one(case.path(), body, plan.timeout))),
                None => tally.not_applicable += 1,
            }
        }
        let Some(ended) = running.join_next().await else {
            return;
        };
        tally.run += 1;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tally.failures.push(failure),
            // Panics are caught in the task, and nobody aborts it.
            Err(error) => tally.failures.push(Failure {
                case: "the runner".to_owned(),
                reason: error.to_string(),
            }),
        }
        if plan.stop_at_failure && !tally.failures.is_empty() {
            return;
        }
    }
}

async fn run_one(
    case: String,
    body: impl Future<Output = ()> + Send,
    timeout: Duration,
) -> Result<(), Failure> {
    let body = AssertUnwindSafe(body).catch_unwind();
    let reason = match tokio::time::timeout(timeout, body).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(payload)) => reason(payload.as_ref()),
        Err(_) => format!("hangs: not done after {timeout:?}"),
    };
    Err(Failure { case, reason })
}

/// Keys of different processes and cases must differ: a Redis may be shared.
fn prefix(case: &Case) -> String {
    format!("conformance:{}:{}", std::process::id(), case.path())
}

fn reason(payload: &(dyn Any + Send)) -> String {
    PANIC
        .take()
        .unwrap_or_else(|| match payload.downcast_ref::<&str>() {
            Some(text) => (*text).to_owned(),
            None => "panicked".to_owned(),
        })
}

/// Keeps the message of a panic for the failure of its case instead of printing it.
fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if tokio::task::try_id().is_some() {
                // A case is caught in the poll in which it panics, so on this thread.
                PANIC.set(Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
}
