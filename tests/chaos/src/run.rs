//! One run: all who take part, all faults, and the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use fastrand::Rng;
use streamgate_test_support::RedisVersion;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::actors::writer::Habits;
use crate::actors::{consumer, tail, watcher, writer};
use crate::faults::{self, Subject};
use crate::journal::{ConsumerJournal, History, Id, TailJournal, WriterJournal};
use crate::ledger::Ledger;
use crate::report::Report;
use crate::schedule::{Pace, Place, schedule};
use crate::stage::{Phase, Rules, STREAMS, Stage};
use crate::watch::Watch;
use crate::world::{Processes, World, blocking};

/// Stream and adds at once of each writer, whether it pads, and how long its client asks again.
const WRITERS: [(usize, u32, bool, Duration); 7] = [
    (0, 1, false, PATIENCE),
    (0, 4, false, IMPATIENCE),
    (1, 1, true, PATIENCE),
    (1, 8, false, PATIENCE),
    (2, 4, true, PATIENCE),
    (2, 8, false, IMPATIENCE),
    (3, 2, false, PATIENCE),
];

/// How long a client asks again, and a call waits for a connection, by default.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same of some who give up within many a fault, so that it is seen what becomes of that.
const IMPATIENCE: Duration = Duration::from_secs(4);

/// The stream of each tail, and whether it is moody. Neighbours are at different proxies.
const TAILS: [(usize, bool); 7] = [
    (0, false),
    (0, true),
    (1, false),
    (2, false),
    (2, true),
    (3, false),
    (3, false),
];

/// The stream of each who reads by calls, and whether it is moody.
const READERS: [(usize, bool); 3] = [(0, false), (0, true), (1, false)];

/// The stream of each consumer of a group, and how it reads. All that subscribe to the first stream
/// take over what is pending.
const CONSUMERS: [(usize, Reading); 8] = [
    (0, Reading::Leaves),
    (0, Reading::Leaves),
    (0, Reading::Stays),
    (0, Reading::Calls),
    (0, Reading::Calls),
    (1, Reading::Leaves),
    (1, Reading::Stays),
    (1, Reading::Calls),
];

/// How a consumer is given entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// By calls.
    Calls,
    /// By a subscription that only an error ends.
    Stays,
    /// By subscriptions that it leaves now and then.
    Leaves,
}

/// How long all is well before the proxies are cut from Redis once more: longer than a client takes
/// to notice that its connection is dead, and to make another.
const CALM: Duration = Duration::from_secs(3);

/// How long nothing may change before it is taken for settled: longer than any bytes are held by
/// what is well.
const QUIET: Duration = Duration::from_millis(1_500);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Longest time for readers to read on to the end, and for the groups to be given all and to take
/// over what is pending. Redis's silence
/// is borne for 5 s, a client's for two heartbeats; what takes much longer does not happen by
/// itself.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);

/// What a run is to be.
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    pub(crate) pace: Pace,
    pub(crate) redis: RedisVersion,
    pub(crate) verbose: bool,
}

/// Those who take part.
struct Cast {
    writers: JoinSet<WriterJournal>,
    tails: JoinSet<TailJournal>,
    consumers: JoinSet<ConsumerJournal>,
    watcher: JoinHandle<Watch>,
}

/// Runs to the end, and checks what came of it.
///
/// # Errors
///
/// Something that is part of the test itself does not work, or a proxy does not end in order.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Report> {
    let (world, processes) = World::start(options.redis, options.verbose).await?;
    Ledger::open(world.redis_url())
        .await?
        .create_groups()
        .await?;
    let (phase, watched) = watch::channel(Phase::Running);
    let stage = Stage {
        phase: watched,
        begun: world.begun(),
    };
    let cast = cast(&world, &stage, options.seed).await?;
    let subjects = fail(&world, processes, options).await?;
    world.heal();
    // A last fault that no client sees: what is followed must go on without its being asked for
    // anew, which the faults before may have done for it.
    sleep(CALM).await;
    world.cut_from_redis();
    let healed = Instant::now();
    // Only now: Redis was killed meanwhile, and each connection to it.
    let mut ledger = Ledger::open(world.redis_url()).await?;
    let history = settle(cast, &phase, &mut ledger).await?;
    let settling = healed.elapsed();
    for subject in subjects {
        if let Subject::Proxy(proxy) = subject {
            let status = blocking(|| proxy.terminate()).await?;
            ensure!(status.success(), "a proxy ended by SIGTERM with {status}");
        }
    }
    Ok(Report::new(options, world.tally(), settling, &history))
}

/// Lets everything fail for as long as the run is to be, and gives back what is well again.
async fn fail(
    world: &Arc<World>,
    processes: Processes,
    options: &Options,
) -> anyhow::Result<Vec<Subject>> {
    let Processes { redis, proxies } = processes;
    let (mut redis, mut proxies) = (Some(redis), proxies.map(Some));
    let mut lanes = JoinSet::new();
    for lane in schedule(options.seed, options.pace, options.length) {
        let subject = match lane.place {
            Place::Front(_) | Place::Back(_) => Some(Subject::Relay),
            Place::Proxy(place) => proxies[place].take().map(Subject::Proxy),
            Place::Redis => redis.take().map(Subject::Redis),
        };
        let subject = subject.context("a process fails at one place")?;
        lanes.spawn(faults::run(Arc::clone(world), lane, subject));
    }
    sleep_until(world.begun() + options.length).await;
    let mut subjects = Vec::new();
    while let Some(lane) = lanes.join_next().await {
        subjects.push(lane??);
    }
    Ok(subjects)
}

/// Lets everybody come to an end now that all is well, and gathers what they wrote down.
async fn settle(
    cast: Cast,
    phase: &watch::Sender<Phase>,
    ledger: &mut Ledger,
) -> anyhow::Result<History> {
    phase.send_replace(Phase::Finishing);
    let writers = cast.writers.join_all().await;
    let last_ids = settled(async || Ok(ledger.last_ids().await?)).await?;
    phase.send_replace(Phase::Settling(last_ids.clone()));
    let tails = async {
        let mut tails = pin!(cast.tails.join_all());
        // What they miss by then, the checker will name.
        tokio::select! {
            tails = &mut tails => tails,
            () = sleep(SETTLE_PATIENCE) => {
                phase.send_replace(Phase::Over);
                tails.await
            }
        }
    };
    let (tails, given) = tokio::join!(
        tails,
        timeout(SETTLE_PATIENCE, all_given(ledger, &last_ids))
    );
    if let Ok(given) = given {
        given?;
    }
    phase.send_replace(Phase::Over);
    Ok(History {
        writers,
        tails,
        consumers: cast.consumers.join_all().await,
        watch: cast.watcher.await?,
        streams: ledger.contents().await?,
    })
}

/// Ready when the groups were given all and do not change any more, and nothing is pending where it
/// is taken over.
async fn all_given(ledger: &mut Ledger, last_ids: &[Id]) -> anyhow::Result<()> {
    let streams = STREAMS.iter().zip(last_ids);
    let ends: Vec<(Rules, Id)> = streams
        .filter_map(|(stream, last)| Some((stream.group?, *last)))
        .collect();
    loop {
        let groups = settled(async || Ok(ledger.groups().await?)).await?;
        let is_over = |((given, pending), (rules, last)): (&(Id, usize), &(Rules, Id))| {
            given >= last && (*rules == Rules::Keep || *pending == 0)
        };
        if groups.iter().zip(&ends).all(is_over) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

/// Starts everybody.
async fn cast(world: &World, stage: &Stage, seed: u64) -> anyhow::Result<Cast> {
    let mut cast = Cast {
        writers: JoinSet::new(),
        tails: JoinSet::new(),
        consumers: JoinSet::new(),
        watcher: tokio::spawn(watcher::watch(world.redis_url().to_owned(), stage.clone())),
    };
    let mut rng = Rng::with_seed(seed);
    let mut fronts = [0, 1].into_iter().cycle();
    let mut client = |patience| world.client(fronts.next().unwrap_or(0), patience);
    for (writer, &(stream, depth, pads, patience)) in (0..).zip(&WRITERS) {
        let habits = Habits {
            writer,
            stream,
            depth,
            pads,
            patience,
        };
        let writer = writer::run(client(patience).await?, stage.clone(), habits, rng.fork());
        cast.writers.spawn(writer);
    }
    for (number, &(stream, moody)) in TAILS.iter().enumerate() {
        let journal = TailJournal {
            name: format!("tail {number}"),
            stream,
            subscribes: true,
            ..TailJournal::default()
        };
        let moody = moody.then(|| rng.fork());
        let tail = tail::follow(client(PATIENCE).await?, stage.clone(), journal, moody);
        cast.tails.spawn(tail);
    }
    for (number, &(stream, moody)) in READERS.iter().enumerate() {
        let journal = TailJournal {
            name: format!("reader {number}"),
            stream,
            ..TailJournal::default()
        };
        let moody = moody.then(|| rng.fork());
        let reader = tail::read(client(PATIENCE).await?, stage.clone(), journal, moody);
        cast.tails.spawn(reader);
    }
    for (number, &(stream, reading)) in CONSUMERS.iter().enumerate() {
        let subscribes = reading != Reading::Calls;
        let journal = ConsumerJournal {
            name: format!("consumer {number}"),
            stream,
            subscribes,
            takes_over: subscribes && STREAMS[stream].group == Some(Rules::TakeOver),
            ..ConsumerJournal::default()
        };
        let (client, stage, rng) = (client(PATIENCE).await?, stage.clone(), rng.fork());
        if subscribes {
            cast.consumers.spawn(consumer::consume(
                client,
                stage,
                journal,
                reading == Reading::Leaves,
                rng,
            ));
        } else {
            cast.consumers
                .spawn(consumer::read(client, stage, journal, rng));
        }
    }
    Ok(cast)
}

/// A value that does not change any more.
async fn settled<T: PartialEq>(
    mut look: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + SETTLE_PATIENCE;
    let (mut value, mut since) = (look().await?, Instant::now());
    while since.elapsed() < QUIET && Instant::now() < end {
        sleep(LOOK).await;
        let now = look().await?;
        if now != value {
            (value, since) = (now, Instant::now());
        }
    }
    Ok(value)
}
