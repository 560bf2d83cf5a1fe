//! One run: the actors, the faults, and the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use fastrand::Rng;
use streamgate_test_support::RedisVersion;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::actors::writer::WriterConfig;
use crate::actors::{consumer, foreign_writer, pending_observer, tail, writer};
use crate::faults::{self, Subject};
use streamgate_protocol::EntryId;

use crate::deployment::{Deployment, Processes, blocking};
use crate::journal::{ConsumerJournal, History, TailJournal, WriterJournal};
use crate::pending_history::PendingHistory;
use crate::redis_inspector::RedisInspector;
use crate::report::Report;
use crate::scenario::{
    FRAME_BYTES, HUGE_PADDING, LARGE_PADDING, PendingPolicy, Phase, RunContext, SMALL_FRAME_BYTES,
    STREAMS, Stream,
};
use crate::schedule::{FaultSite, Intensity, may_evict, schedule};

/// Of each writer: its stream, its adds at once, whether it pads, and how long its client retries.
const WRITERS: [(usize, u32, bool, Duration); 7] = [
    (0, 1, false, RETRY_TIMEOUT),
    (0, 4, false, SHORT_RETRY_TIMEOUT),
    (1, 1, true, RETRY_TIMEOUT),
    (1, 8, false, RETRY_TIMEOUT),
    (2, 4, true, RETRY_TIMEOUT),
    (2, 8, false, SHORT_RETRY_TIMEOUT),
    (3, 2, false, RETRY_TIMEOUT),
];

/// How long a client retries, and a call waits for a connection, by default.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for clients that give up during longer faults, to see the outcome of that.
const SHORT_RETRY_TIMEOUT: Duration = Duration::from_secs(4);

/// Of each program that writes to Redis directly: its stream, and the padding of its entries.
const FOREIGN_WRITERS: [(usize, usize); 7] = [
    (0, LARGE_PADDING),
    (1, LARGE_PADDING),
    (2, LARGE_PADDING),
    (3, LARGE_PADDING),
    (0, HUGE_PADDING),
    (1, HUGE_PADDING),
    (3, HUGE_PADDING),
];

/// Of each tail: its stream, whether it is erratic, and the frames that its client takes.
/// Neighbours use different proxies.
const TAILS: [(usize, bool, u32); 8] = [
    (0, false, FRAME_BYTES),
    (0, true, SMALL_FRAME_BYTES),
    (1, false, SMALL_FRAME_BYTES),
    (1, false, FRAME_BYTES),
    (2, false, SMALL_FRAME_BYTES),
    (2, true, FRAME_BYTES),
    (3, false, FRAME_BYTES),
    (3, false, SMALL_FRAME_BYTES),
];

/// Of each reader by calls: the same.
const READERS: [(usize, bool, u32); 3] = [
    (0, false, FRAME_BYTES),
    (0, true, FRAME_BYTES),
    (1, false, SMALL_FRAME_BYTES),
];

/// Of each consumer: its stream, its kind, and the frames that its client takes. Subscriptions to
/// the first stream reclaim pending entries.
const CONSUMERS: [(usize, ConsumerKind, u32); 10] = [
    (0, ConsumerKind::Resubscribing, FRAME_BYTES),
    (0, ConsumerKind::Resubscribing, SMALL_FRAME_BYTES),
    (0, ConsumerKind::Subscription, FRAME_BYTES),
    (0, ConsumerKind::GroupReads, FRAME_BYTES),
    (0, ConsumerKind::GroupReads, SMALL_FRAME_BYTES),
    (1, ConsumerKind::Resubscribing, FRAME_BYTES),
    (1, ConsumerKind::Subscription, FRAME_BYTES),
    (1, ConsumerKind::Subscription, SMALL_FRAME_BYTES),
    (1, ConsumerKind::GroupReads, FRAME_BYTES),
    (1, ConsumerKind::GroupReads, SMALL_FRAME_BYTES),
];

/// The number of the first foreign writer.
const FIRST_FOREIGN: u32 = 100;

/// How a consumer reads its group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConsumerKind {
    /// By calls that wait.
    GroupReads,
    /// By a subscription that only an error ends.
    Subscription,
    /// By subscriptions that it leaves now and then.
    Resubscribing,
}

/// Time without faults before the proxies are cut from Redis once more: longer than a client takes
/// to notice a dead connection, to reconnect, and to look for what the server delivered to a
/// half-open one.
const HEALTHY_TIME: Duration = Duration::from_secs(5);

/// A value that does not change for this long has settled: longer than anything is buffered without
/// faults.
const STABLE_TIME: Duration = Duration::from_millis(1_500);

/// Pause between two polls of Redis.
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// Longest time in which readers reach the end, and groups deliver all entries and reclaim pending
/// ones. Connections to Redis time out after 5 s, clients after two heartbeats; whatever takes much
/// longer will never happen.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The options of a run.
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    pub(crate) intensity: Intensity,
    pub(crate) redis: RedisVersion,
    pub(crate) verbose: bool,
}

/// The actors.
struct Actors {
    writers: JoinSet<WriterJournal>,
    tails: JoinSet<TailJournal>,
    consumers: JoinSet<ConsumerJournal>,
    observer: JoinHandle<PendingHistory>,
}

/// Makes a run, and checks its history.
///
/// # Errors
///
/// The test itself does not work, or a proxy does not shut down cleanly.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Report> {
    let may_evict = may_evict(options.seed);
    let (deployment, processes) =
        Deployment::start(options.redis, options.seed, options.verbose).await?;
    RedisInspector::open(deployment.redis_url())
        .await?
        .create_groups()
        .await?;
    let (phase, watched) = watch::channel(Phase::Running);
    let context = RunContext {
        phase: watched,
        started: deployment.started(),
        received: Arc::default(),
    };
    let actors = start_actors(&deployment, &context, options.seed).await?;
    let subjects = inject_faults(&deployment, processes, options).await?;
    deployment.clear_faults();
    // A last fault that no client sees: tails must continue although no client resubscribes, which
    // earlier faults may have caused.
    sleep(HEALTHY_TIME).await;
    deployment.cut_all_from_redis();
    let healed = Instant::now();
    // Connect only now: the faults killed Redis and all connections to it.
    let mut inspector = RedisInspector::open(deployment.redis_url()).await?;
    let history = settle(actors, &phase, &context, &mut inspector, may_evict).await?;
    let settling = healed.elapsed();
    for subject in subjects {
        if let Subject::Proxy(proxy) = subject {
            let status = blocking(|| proxy.terminate()).await?;
            ensure!(
                status.success(),
                "a proxy exited after SIGTERM with {status}"
            );
        }
    }
    Ok(Report::new(
        options,
        deployment.fault_counts(),
        settling,
        &history,
    ))
}

/// Injects faults for the length of the run. Returns the subjects, which are healthy again.
async fn inject_faults(
    deployment: &Arc<Deployment>,
    processes: Processes,
    options: &Options,
) -> anyhow::Result<Vec<Subject>> {
    let Processes { redis, proxies } = processes;
    let (mut redis, mut proxies) = (Some(redis), proxies.map(Some));
    let mut sites = JoinSet::new();
    for site in schedule(options.seed, options.intensity, options.length) {
        let subject = match site.site {
            FaultSite::ClientRelay(_) | FaultSite::RedisRelay(_) => Some(Subject::Relay),
            FaultSite::Proxy(index) => proxies[index].take().map(Subject::Proxy),
            FaultSite::Redis => redis.take().map(Subject::Redis),
            FaultSite::DedupWindows => Some(Subject::DedupWindows(None)),
            FaultSite::Tokens => Some(Subject::Tokens(None)),
        };
        let subject = subject.context("each process has one site")?;
        sites.spawn(faults::run(Arc::clone(deployment), site, subject));
    }
    sleep_until(deployment.started() + options.length).await;
    let mut subjects = Vec::new();
    while let Some(subject) = sites.join_next().await {
        subjects.push(subject??);
    }
    Ok(subjects)
}

/// Ends all actors after the faults, and collects their journals.
async fn settle(
    actors: Actors,
    phase: &watch::Sender<Phase>,
    context: &RunContext,
    inspector: &mut RedisInspector,
    may_evict: bool,
) -> anyhow::Result<History> {
    phase.send_replace(Phase::Finishing);
    let healed_ms = u64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_millis())?;
    let writers = actors.writers.join_all().await;
    let last_ids = settled(async || Ok(inspector.last_ids().await?)).await?;
    phase.send_replace(Phase::Settling(last_ids.clone()));
    let tails = async {
        let mut tails = pin!(actors.tails.join_all());
        // The checker reports what they have not read by then.
        tokio::select! {
            tails = &mut tails => tails,
            () = sleep(SETTLE_TIMEOUT) => {
                phase.send_replace(Phase::Over);
                tails.await
            }
        }
    };
    let (tails, delivered) = tokio::join!(
        tails,
        timeout(SETTLE_TIMEOUT, all_delivered(inspector, &last_ids))
    );
    if let Ok(delivered) = delivered {
        delivered?;
    }
    // The last fault comes after the healthy time.
    let since = EntryId {
        ms: healed_ms.saturating_sub(u64::try_from(HEALTHY_TIME.as_millis())?),
        seq: 0,
    };
    let received = timeout(SETTLE_TIMEOUT, all_received(inspector, context, since)).await;
    if let Ok(received) = received {
        received?;
    }
    phase.send_replace(Phase::Over);
    let (consumers, pending_history) = (actors.consumers.join_all().await, actors.observer.await?);
    let streams = inspector.contents().await?;
    Ok(History {
        may_evict,
        writers,
        tails,
        consumers,
        pending_history,
        streams,
    })
}

/// Completes when the groups have delivered all entries, have settled, and have reclaimed all
/// pending entries that they reclaim.
async fn all_delivered(inspector: &mut RedisInspector, last_ids: &[EntryId]) -> anyhow::Result<()> {
    let streams = STREAMS.iter().zip(last_ids);
    let ends: Vec<(PendingPolicy, EntryId)> = streams
        .filter_map(|(stream, last)| Some((stream.group?, *last)))
        .collect();
    loop {
        let groups = settled(async || Ok(inspector.groups().await?)).await?;
        let is_over = |((delivered, pending), (policy, last)): (
            &(EntryId, usize),
            &(PendingPolicy, EntryId),
        )| {
            delivered >= last && (*policy == PendingPolicy::Keep || *pending == 0)
        };
        if groups.iter().zip(&ends).all(is_over) {
            return Ok(());
        }
        sleep(POLL_PAUSE).await;
    }
}

/// Completes when every entry since this id that is pending for a consumer has arrived there, unless
/// it is too large. The checker knows which older ones had to arrive.
async fn all_received(
    inspector: &mut RedisInspector,
    context: &RunContext,
    since: EntryId,
) -> anyhow::Result<()> {
    loop {
        let mut is_over = true;
        let keeps = |stream: &Stream| stream.group == Some(PendingPolicy::Keep);
        for (index, stream) in STREAMS.iter().enumerate().filter(|(_, s)| keeps(s)) {
            for id in inspector.pending(stream.name).await?.into_keys() {
                if id >= since
                    && !context.has_received(index, id)
                    && inspector.padding(stream.name, id).await? < LARGE_PADDING
                {
                    is_over = false;
                }
            }
        }
        if is_over {
            return Ok(());
        }
        sleep(POLL_PAUSE).await;
    }
}

/// Starts all actors.
async fn start_actors(
    deployment: &Deployment,
    context: &RunContext,
    seed: u64,
) -> anyhow::Result<Actors> {
    let mut actors = Actors {
        writers: JoinSet::new(),
        tails: JoinSet::new(),
        consumers: JoinSet::new(),
        observer: tokio::spawn(pending_observer::observe(
            deployment.redis_url().to_owned(),
            context.clone(),
        )),
    };
    let mut rng = Rng::with_seed(seed);
    let mut client_relays = [0, 1].into_iter().cycle();
    let mut client = |retry_timeout, frame_bytes| {
        let relay = client_relays.next().unwrap_or(0);
        deployment.client(relay, retry_timeout, frame_bytes)
    };
    for (writer, &(stream, depth, pads, retry_timeout)) in (0..).zip(&WRITERS) {
        let config = WriterConfig {
            writer,
            stream,
            depth,
            pads,
            retry_timeout,
        };
        let writer = writer::run(
            client(retry_timeout, FRAME_BYTES).await?,
            context.clone(),
            config,
            rng.fork(),
        );
        actors.writers.spawn(writer);
    }
    for (writer, &(stream, padding)) in (FIRST_FOREIGN..).zip(&FOREIGN_WRITERS) {
        let journal = WriterJournal {
            writer,
            stream,
            ..WriterJournal::default()
        };
        actors.writers.spawn(foreign_writer::run(
            deployment.redis_url().to_owned(),
            context.clone(),
            journal,
            padding,
            rng.fork(),
        ));
    }
    for (number, &(stream, erratic, frame_bytes)) in TAILS.iter().enumerate() {
        let journal = TailJournal {
            name: format!("tail {number}"),
            stream,
            subscribes: true,
            frame_bytes,
            ..TailJournal::default()
        };
        let erratic = erratic.then(|| rng.fork());
        let tail = tail::tail(
            client(RETRY_TIMEOUT, frame_bytes).await?,
            context.clone(),
            journal,
            erratic,
        );
        actors.tails.spawn(tail);
    }
    for (number, &(stream, erratic, frame_bytes)) in READERS.iter().enumerate() {
        let journal = TailJournal {
            name: format!("reader {number}"),
            stream,
            frame_bytes,
            ..TailJournal::default()
        };
        let erratic = erratic.then(|| rng.fork());
        let reader = tail::read(
            client(RETRY_TIMEOUT, frame_bytes).await?,
            context.clone(),
            journal,
            erratic,
        );
        actors.tails.spawn(reader);
    }
    for (number, &(stream, kind, frame_bytes)) in CONSUMERS.iter().enumerate() {
        let subscribes = kind != ConsumerKind::GroupReads;
        let journal = ConsumerJournal {
            name: format!("consumer {number}"),
            stream,
            subscribes,
            frame_bytes,
            reclaims: subscribes && STREAMS[stream].group == Some(PendingPolicy::Reclaim),
            ..ConsumerJournal::default()
        };
        let client = client(RETRY_TIMEOUT, frame_bytes).await?;
        let (context, rng) = (context.clone(), rng.fork());
        if subscribes {
            actors.consumers.spawn(consumer::consume(
                client,
                context,
                journal,
                kind == ConsumerKind::Resubscribing,
                rng,
            ));
        } else {
            actors
                .consumers
                .spawn(consumer::read(client, context, journal, rng));
        }
    }
    Ok(actors)
}

/// Polls a value until it has settled.
async fn settled<T: PartialEq>(
    mut poll: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + SETTLE_TIMEOUT;
    let (mut value, mut since) = (poll().await?, Instant::now());
    while since.elapsed() < STABLE_TIME && Instant::now() < end {
        sleep(POLL_PAUSE).await;
        let now = poll().await?;
        if now != value {
            (value, since) = (now, Instant::now());
        }
    }
    Ok(value)
}
