//! A backend that does what a test tells it to.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_backend::reclaim::step::START;
use streamgate_backend::{Backend, ReclaimStep, Reclaimed, TailSource};
use streamgate_protocol::{
    Bytes, CacheError, CacheResult, Entry, Operation, PerformOperation, Reply, TailFrom,
};
use tokio::sync::{Semaphore, watch};

use crate::client::TIMEOUT;
use crate::stub_tail::StubTail;

/// Entries of the stream `vanished` that each reclaim round finds.
pub(crate) const VANISHED: u64 = 7;

/// Records adds in the order in which they begin. The stream's key says what an operation does:
///
/// - An add to `slow`, of any tenant, ends after [`StubBackend::finish_slow_adds`]; any other at once.
/// - A group read of `batches` returns as many entries as it may, at once; of `large batches`,
///   entries of 200 KiB each.
/// - Any other read that may block waits until it is cancelled, or until
///   [`StubBackend::wake_waits`].
/// - A read of the latest entries returns one entry of `count` bytes.
/// - A tail is a [`StubTail`], and is recorded as an add of `tail` and the key.
/// - A tail of `unanswered`, and the creation of a group there, is answered after
///   [`StubBackend::answer`].
pub(crate) struct StubBackend {
    begun_adds: watch::Sender<Vec<String>>,
    slow_add_gate: Semaphore,
    is_answering: watch::Sender<bool>,
    creations: watch::Sender<usize>,
    slow_adds: watch::Sender<usize>,
    max_slow_adds: watch::Sender<usize>,
    waits: watch::Sender<usize>,
    wake_waits: watch::Sender<()>,
    tails: watch::Sender<usize>,
    produced_bytes: watch::Sender<usize>,
    unavailable: watch::Sender<Option<CacheError>>,
}

impl StubBackend {
    pub(crate) fn new() -> Self {
        Self {
            begun_adds: watch::Sender::default(),
            slow_add_gate: Semaphore::new(0),
            is_answering: watch::Sender::default(),
            creations: watch::Sender::default(),
            slow_adds: watch::Sender::default(),
            max_slow_adds: watch::Sender::default(),
            waits: watch::Sender::default(),
            wake_waits: watch::Sender::default(),
            tails: watch::Sender::default(),
            produced_bytes: watch::Sender::default(),
            unavailable: watch::Sender::default(),
        }
    }

    /// Sets why the backend is unavailable, or `None` if it is available.
    pub(crate) fn set_unavailable(&self, error: Option<CacheError>) {
        self.unavailable.send_replace(error);
    }

    /// Lets the slow adds end, later ones too.
    pub(crate) fn finish_slow_adds(&self) {
        self.slow_add_gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Answers whatever was asked of the stream `unanswered`, and is asked later.
    pub(crate) fn answer(&self) {
        self.is_answering.send_replace(true);
    }

    /// Returns when exactly this number of groups are being created.
    pub(crate) async fn until_creations(&self, count: usize) {
        until(&self.creations, |creations| *creations == count).await;
    }

    /// Returns how many groups are being created.
    pub(crate) fn creations(&self) -> usize {
        *self.creations.borrow()
    }

    async fn answered(mut is_answering: watch::Receiver<bool>) {
        is_answering.wait_for(|it| *it).await.unwrap();
    }

    /// Ends all current waits with an entry.
    pub(crate) fn wake_waits(&self) {
        self.wake_waits.send_replace(());
    }

    /// Returns the values of the adds that have begun.
    pub(crate) fn begun_adds(&self) -> Vec<String> {
        self.begun_adds.borrow().clone()
    }

    /// Returns when at least this number of adds have begun.
    pub(crate) async fn until_begun_adds(&self, count: usize) {
        until(&self.begun_adds, |adds| adds.len() >= count).await;
    }

    /// Returns when exactly this number of reads wait.
    pub(crate) async fn until_waits(&self, count: usize) {
        until(&self.waits, |waits| *waits == count).await;
    }

    /// Returns how many reads wait.
    pub(crate) fn waits(&self) -> usize {
        *self.waits.borrow()
    }

    /// Returns when at least this number of slow adds are under way together.
    pub(crate) async fn until_slow_adds(&self, count: usize) {
        until(&self.slow_adds, |slow| *slow >= count).await;
    }

    /// Returns how many slow adds are under way.
    pub(crate) fn slow_adds(&self) -> usize {
        *self.slow_adds.borrow()
    }

    /// Returns when exactly this number of tails exist.
    pub(crate) async fn until_tails(&self, count: usize) {
        until(&self.tails, |tails| *tails == count).await;
    }

    /// Returns how many tails exist.
    pub(crate) fn tails(&self) -> usize {
        *self.tails.borrow()
    }

    /// Returns the bytes of the entries that tails have yielded.
    pub(crate) fn produced_bytes(&self) -> usize {
        *self.produced_bytes.borrow()
    }

    /// Returns how many slow adds were under way together at most.
    pub(crate) fn max_slow_adds(&self) -> usize {
        *self.max_slow_adds.borrow()
    }

    async fn add(&self, stream: &str, value: String) -> Reply {
        self.begun_adds.send_modify(|adds| adds.push(value));
        if stream.ends_with("slow") {
            let _count = CountGuard::new(&self.slow_adds);
            let slow_adds = *self.slow_adds.borrow();
            self.max_slow_adds
                .send_modify(|max| *max = slow_adds.max(*max));
            let _permit = self.slow_add_gate.acquire().await.unwrap();
        }
        Reply::Added {
            id: "1-0".to_owned(),
        }
    }

    async fn wait(&self) -> Reply {
        let mut woken = self.wake_waits.subscribe();
        let _count = CountGuard::new(&self.waits);
        woken.changed().await.unwrap();
        entries(vec![entry("7-0".to_owned(), "v".to_owned())])
    }
}

impl PerformOperation for StubBackend {
    async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
        Ok(match operation {
            Operation::Add { stream, fields, .. } => {
                let value = fields
                    .into_iter()
                    .next()
                    .map(|(_, value)| value.to_text().into_owned());
                self.add(&stream.to_text(), value.unwrap_or_default()).await
            }
            Operation::ReadLatest { count, .. } => {
                let value = "x".repeat(usize::try_from(count).unwrap());
                entries(vec![entry("1-0".to_owned(), value)])
            }
            Operation::ReadGroup { stream, count, .. } if stream.ends_with(b"batches") => {
                let bytes = if stream == "batches" { 1 } else { 200 << 10 };
                let batch = (1..=count).map(|n| entry(format!("{n}-0"), "v".repeat(bytes)));
                entries(batch.collect())
            }
            Operation::Read { block_ms, .. } | Operation::ReadGroup { block_ms, .. } => {
                if block_ms.is_some() {
                    self.wait().await
                } else {
                    entries(Vec::new())
                }
            }
            Operation::CreateGroup { stream, .. } if stream == "unanswered" => {
                let _count = CountGuard::new(&self.creations);
                Self::answered(self.is_answering.subscribe()).await;
                Reply::Done {}
            }
            Operation::CreateGroup { .. } | Operation::Ack { .. } => Reply::Done {},
            _ => {
                return Err(CacheError::from_code(
                    "ERR",
                    "the stub has no such operation",
                ));
            }
        })
    }
}

impl Backend for StubBackend {
    fn availability(&self) -> Option<watch::Receiver<Option<CacheError>>> {
        Some(self.unavailable.subscribe())
    }

    fn tail_source<'a>(&'a self, stream: Bytes<'_>, _from: TailFrom) -> Box<dyn TailSource + 'a> {
        self.begun_adds
            .send_modify(|adds| adds.push(format!("tail {stream}")));
        let count = CountGuard::new(&self.tails);
        let answered = if stream == "unanswered" {
            Self::answered(self.is_answering.subscribe()).boxed()
        } else {
            std::future::ready(()).boxed()
        };
        Box::new(StubTail::new(
            &stream.to_text(),
            answered,
            count,
            self.produced_bytes.clone(),
        ))
    }

    fn reclaim<'a>(&'a self, step: ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> {
        Box::pin(async move {
            let no_group = CacheError::from_code("NOGROUP", "no consumer has vanished");
            let begin = match (&*step.stream, &*step.cursor) {
                (b"vanished", START) => 0,
                (b"vanished", cursor) => cursor.trim_end_matches("-0").parse().unwrap_or(0),
                _ => return Err(no_group),
            };
            let end = (begin + step.count).min(VANISHED);
            let ids = (begin + 1..=end).map(|n| Entry::deleted(format!("{n}-0")));
            let cursor = if end == VANISHED {
                START.to_owned()
            } else {
                format!("{end}-0")
            };
            Ok(Reclaimed::new(ids.collect(), cursor, 0))
        })
    }
}

/// Counts one until it is dropped.
pub(crate) struct CountGuard(watch::Sender<usize>);

impl CountGuard {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

async fn until<T>(value: &watch::Sender<T>, condition: impl Fn(&T) -> bool) {
    let mut value = value.subscribe();
    let waiting = value.wait_for(|value| condition(value));
    tokio::time::timeout(TIMEOUT, waiting)
        .await
        .expect("the condition never became true")
        .unwrap();
}

fn entry(id: String, value: String) -> Entry {
    Entry::new(id, [("f", value)])
}

fn entries(entries: Vec<Entry>) -> Reply {
    Reply::entries(entries)
}
