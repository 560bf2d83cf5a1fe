//! A backend that does what a test tells it to.

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use streamgate_backend::reclaim::step::START;
use streamgate_backend::{Backend, TailSource};
use streamgate_backend::{ReclaimStep, Reclaimed};
use streamgate_protocol::{
    CacheError, CacheResult, Operation, PerformOperation, Reply, StreamEntry, TailFrom,
};
use tokio::sync::{Semaphore, watch};

use crate::client::PATIENCE;
use crate::stub_tail::Follower;

/// Entries of the stream `vanished` that are taken over in each round.
pub(crate) const VANISHED: u64 = 7;

/// Adds are noted in the order they are begun. The stream's key says what an operation does:
///
/// - `slow`: an add is not over until [`Stub::open`].
/// - any: a read that may block waits until it is cancelled, or until [`Stub::wake`].
/// - `batches`: a group read gives as many entries as it may, at once; of 200 KiB each if it is
///   `large batches`.
/// - any: a tail is a [`Follower`], and begun as if it were an add of `follow` and the key.
/// - any: a read of the latest gives one entry of as many bytes as its count says.
pub(crate) struct Stub {
    added: watch::Sender<Vec<String>>,
    gate: Semaphore,
    waits: watch::Sender<usize>,
    woken: watch::Sender<u64>,
    slow: watch::Sender<usize>,
    followed: watch::Sender<usize>,
    produced: watch::Sender<usize>,
    most_slow: Mutex<usize>,
    away: watch::Sender<Option<CacheError>>,
}

impl Stub {
    pub(crate) fn new() -> Self {
        Self {
            added: watch::Sender::default(),
            gate: Semaphore::new(0),
            waits: watch::Sender::default(),
            woken: watch::Sender::default(),
            slow: watch::Sender::default(),
            followed: watch::Sender::default(),
            produced: watch::Sender::default(),
            most_slow: Mutex::new(0),
            away: watch::Sender::default(),
        }
    }

    /// Says why it is away, or that it is there.
    pub(crate) fn set_away(&self, away: Option<CacheError>) {
        self.away.send_replace(away);
    }

    /// Lets the slow adds end, those to come too.
    pub(crate) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Ends the waits that there are with an entry.
    pub(crate) fn wake(&self) {
        self.woken.send_modify(|woken| *woken += 1);
    }

    /// The values of the adds so far.
    pub(crate) fn added(&self) -> Vec<String> {
        self.added.borrow().clone()
    }

    /// Returns when so many adds were begun.
    pub(crate) async fn until_added(&self, count: usize) {
        until(&self.added, |added| added.len() >= count).await;
    }

    /// Returns when so many reads wait.
    pub(crate) async fn until_waits(&self, count: usize) {
        until(&self.waits, |waits| *waits == count).await;
    }

    /// Returns when so many slow adds are under way at once.
    pub(crate) async fn until_slow(&self, count: usize) {
        until(&self.slow, |slow| *slow >= count).await;
    }

    /// Returns when so many tails run.
    pub(crate) async fn until_followed(&self, count: usize) {
        until(&self.followed, |followed| *followed == count).await;
    }

    /// How many tails run.
    pub(crate) fn followed(&self) -> usize {
        *self.followed.borrow()
    }

    /// Bytes of the entries that tails gave.
    pub(crate) fn produced(&self) -> usize {
        *self.produced.borrow()
    }

    /// The most slow adds that were under way at once.
    pub(crate) fn most_slow(&self) -> usize {
        *self.most_slow.lock().unwrap()
    }

    async fn add(&self, stream: &str, value: String) {
        self.added.send_modify(|added| added.push(value));
        if stream == "slow" {
            let count = Count::new(&self.slow);
            let slow = *self.slow.borrow();
            {
                let mut most = self.most_slow.lock().unwrap();
                *most = slow.max(*most);
            }
            let _permit = self.gate.acquire().await.unwrap();
            drop(count);
        }
    }

    async fn wait(&self) -> CacheResult<Vec<StreamEntry>> {
        let mut woken = self.woken.subscribe();
        let _count = Count::new(&self.waits);
        woken.changed().await.unwrap();
        Ok(vec![(
            "7-0".to_owned(),
            vec![("f".to_owned(), "v".to_owned())],
        )])
    }
}

async fn until<T>(value: &watch::Sender<T>, holds: impl Fn(&T) -> bool) {
    let mut value = value.subscribe();
    let waiting = value.wait_for(|value| holds(value));
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it never came to that")
        .unwrap();
}

struct Count<'a>(&'a watch::Sender<usize>);

impl<'a> Count<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Backend for Stub {
    fn availability(&self) -> Option<watch::Receiver<Option<CacheError>>> {
        Some(self.away.subscribe())
    }

    fn tail_source<'a>(&'a self, stream: &str, _from: TailFrom) -> Box<dyn TailSource + 'a> {
        self.added
            .send_modify(|added| added.push(format!("follow {stream}")));
        let (running, produced) = (self.followed.clone(), self.produced.clone());
        Box::new(Follower::new(stream, running, produced))
    }

    fn reclaim<'a>(&'a self, step: ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> {
        Box::pin(async move {
            let missing = CacheError::from_code("NOGROUP", "nobody has vanished");
            let begin = match (&*step.stream, &*step.cursor) {
                ("vanished", START) => 0,
                ("vanished", cursor) => cursor.trim_end_matches("-0").parse().unwrap_or(0),
                _ => return Err(missing),
            };
            let end = (begin + step.count).min(VANISHED);
            let ids = (begin + 1..=end).map(|n| (format!("{n}-0"), vec![]));
            let cursor = if end == VANISHED {
                START.to_owned()
            } else {
                format!("{end}-0")
            };
            Ok(Reclaimed::new(ids.collect(), cursor, 0))
        })
    }
}

impl PerformOperation for Stub {
    async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
        let entries = match operation {
            Operation::Add { stream, fields, .. } => {
                let value = fields.into_iter().next().map(|(_, value)| value.into());
                self.add(&stream, value.unwrap_or_default()).await;
                return Ok(Reply::Added {
                    id: "1-0".to_owned(),
                });
            }
            Operation::ReadLatest { count, .. } => vec![entry(1, length(count))],
            Operation::ReadGroup { stream, count, .. } if stream.ends_with("batches") => {
                let bytes = if &*stream == "batches" { 1 } else { 200 << 10 };
                (1..=count).map(|n| entry(n, bytes)).collect()
            }
            Operation::Read { block_ms, .. } | Operation::ReadGroup { block_ms, .. } => {
                match block_ms {
                    Some(_) => self.wait().await?,
                    None => Vec::new(),
                }
            }
            _ => return Ok(Reply::Done {}),
        };
        Ok(Reply::Entries {
            entries,
            last_id: None,
        })
    }
}

fn entry(n: u64, bytes: usize) -> StreamEntry {
    let fields = vec![("f".to_owned(), "x".repeat(bytes))];
    (format!("{n}-0"), fields)
}

fn length(count: u64) -> usize {
    usize::try_from(count).expect("it fits into memory")
}
