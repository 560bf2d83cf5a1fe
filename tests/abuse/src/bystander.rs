//! The well-behaved client beside an attack: calls at a steady rate, whatever the earlier ones take.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use streamgate_client::Client;
use streamgate_protocol::{CacheResult, StreamingBackend, SubscribingBackend, TailFrom, TailItem};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::cores::Cores;
use crate::figures::{Call, Sample};
use crate::scene::connect;

/// Pause between two rounds of an add, a read, a wait and an entry of the tail.
const ROUND: Duration = Duration::from_millis(20);

/// Most rounds that are not over. If there are more, the server serves nobody.
const MAX_ROUNDS: usize = 4_096;

/// A call that takes longer has hung.
const HANG_LIMIT: Duration = Duration::from_secs(30);

/// The bystander's stream, and how it is trimmed.
const STREAM: &str = "bystander";
const MAXLEN: usize = 5_000;

/// Waits take turns on so many streams.
const WAIT_STREAMS: u64 = 8;

/// Bytes of a value, of which the first hold the number of its add.
const VALUE_BYTES: usize = 100;

/// A client on a thread of its own.
#[derive(Debug)]
pub(crate) struct Bystander {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Bystander {
    /// Starts the client, and waits until its tail has begun.
    pub(crate) fn start(
        url: String,
        token: Option<&'static str>,
        cores: &Cores,
    ) -> anyhow::Result<Self> {
        let cores = cores.clone();
        let (stop, stopped) = oneshot::channel();
        let (started, has_started) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            cores.become_bystander();
            let runtime = match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => {
                    // The other side waits for this and for nothing else.
                    let _ = started.send(Err(error.into()));
                    return Vec::new();
                }
            };
            LocalSet::new().block_on(&runtime, use_server(&url, token, &started, stopped))
        });
        match has_started.recv() {
            Ok(Ok(())) => Ok(Self { stop, thread }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(anyhow!("the bystander's thread panicked")),
        }
    }

    /// Waits for the calls under way, and returns all.
    pub(crate) fn stop(self) -> anyhow::Result<Vec<Sample>> {
        // Fails only if the thread has ended, which `join` reports.
        let _ = self.stop.send(());
        self.thread
            .join()
            .map_err(|_| anyhow!("the bystander's thread panicked"))
    }
}

/// The state that all calls of the bystander share.
struct Log {
    samples: RefCell<Vec<Sample>>,
    /// When each add began.
    adds: RefCell<Vec<Instant>>,
    /// The adds that succeeded.
    added: RefCell<HashSet<usize>>,
    /// The adds whose entries the tail delivered.
    delivered: RefCell<HashSet<usize>>,
}

async fn use_server(
    url: &str,
    token: Option<&str>,
    started: &mpsc::SyncSender<anyhow::Result<()>>,
    mut stopped: oneshot::Receiver<()>,
) -> Vec<Sample> {
    let log = Rc::new(Log {
        samples: RefCell::default(),
        adds: RefCell::default(),
        added: RefCell::default(),
        delivered: RefCell::default(),
    });
    let begin = async {
        let client = connect(url, token).await?;
        let mut tail = client.tail(STREAM, TailFrom::Now);
        // The first item reports the position: entries added from here on are delivered.
        tail.next().await.context("the tail ended")??;
        anyhow::Ok((client, tail))
    };
    let (client, mut tail) = match begin.await.context("the bystander cannot connect") {
        Ok(begun) => begun,
        Err(error) => {
            let _ = started.send(Err(error));
            return Vec::new();
        }
    };
    let follower = tokio::task::spawn_local({
        let log = Rc::clone(&log);
        async move {
            while let Some(item) = tail.next().await {
                log.deliver(item);
            }
        }
    });
    let _ = started.send(Ok(()));
    let client = Rc::new(client);
    let mut rounds = JoinSet::new();
    let mut ticks = interval(ROUND);
    // Rounds that were missed because this thread had no core are not made up for in a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            _ = ticks.tick() => {}
        }
        while rounds.try_join_next().is_some() {}
        if rounds.len() < MAX_ROUNDS {
            rounds.spawn_local(round(Rc::clone(&client), Rc::clone(&log)));
        } else {
            log.record(
                Call::Add,
                Instant::now(),
                Err("not sent: too many calls wait".to_owned()),
            );
        }
    }
    while rounds.join_next().await.is_some() {}
    log.wait_for_tail().await;
    follower.abort();
    Rc::try_unwrap(log).map_or_else(|log| log.samples.take(), |log| log.samples.into_inner())
}

async fn round(client: Rc<Client>, log: Rc<Log>) {
    let started = Instant::now();
    let number = log.begin_add(started);
    let value = format!("{number:<VALUE_BYTES$}");
    let fields = || vec![("value".to_owned(), value.clone())];
    let add = async {
        let result = client.stream_add(STREAM, fields(), Some(MAXLEN));
        if log.time(Call::Add, started, result).await {
            log.added.borrow_mut().insert(number);
        }
    };
    let read = log.time(Call::Read, started, client.stream_read_latest(STREAM, 10));
    let wait = async {
        let stream = format!("bystander:{}", number as u64 % WAIT_STREAMS);
        let block_ms = HANG_LIMIT.as_millis() as usize;
        // In this order: the add comes after the wait has begun, and ends it.
        let (entries, added) = tokio::join!(
            client.stream_read(&stream, "$", 1, Some(block_ms)),
            client.stream_add(&stream, fields(), Some(MAXLEN)),
        );
        added.and(entries)
    };
    tokio::join!(add, read, log.time(Call::Wait, started, wait));
}

impl Log {
    fn begin_add(&self, started: Instant) -> usize {
        let mut adds = self.adds.borrow_mut();
        adds.push(started);
        adds.len() - 1
    }

    /// Records a call, and returns whether it succeeded.
    async fn time<T>(
        &self,
        call: Call,
        started: Instant,
        work: impl Future<Output = CacheResult<T>>,
    ) -> bool {
        let outcome = match timeout(HANG_LIMIT, work).await {
            Ok(Ok(_)) => Ok(started.elapsed()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {HANG_LIMIT:?}")),
        };
        let succeeded = outcome.is_ok();
        self.record(call, started, outcome);
        succeeded
    }

    fn record(&self, call: Call, started: Instant, outcome: Result<Duration, String>) {
        self.samples.borrow_mut().push(Sample {
            call,
            started,
            outcome,
        });
    }

    /// Records an item of the tail.
    fn deliver(&self, item: CacheResult<TailItem>) {
        let entries = match item {
            Ok(TailItem::Entries { entries, .. }) => entries,
            other => return self.record(Call::Tail, Instant::now(), Err(format!("{other:?}"))),
        };
        for entry in entries {
            let number = entry
                .get("value")
                .and_then(|value| value.trim().parse().ok());
            let started = number.and_then(|number: usize| self.adds.borrow().get(number).copied());
            if let (Some(number), Some(started)) = (number, started) {
                self.delivered.borrow_mut().insert(number);
                self.record(Call::Tail, started, Ok(started.elapsed()));
            }
        }
    }

    /// Waits until the tail has delivered all that was added, and records what it has not.
    async fn wait_for_tail(&self) {
        let missing = || -> Vec<usize> {
            let delivered = self.delivered.borrow();
            self.added
                .borrow()
                .difference(&delivered)
                .copied()
                .collect()
        };
        let end = Instant::now() + HANG_LIMIT;
        while !missing().is_empty() && Instant::now() < end {
            tokio::time::sleep(ROUND).await;
        }
        for number in missing() {
            let started = self.adds.borrow()[number];
            self.record(
                Call::Tail,
                started,
                Err("an entry was not delivered".to_owned()),
            );
        }
    }
}
