//! One run: all who take part, all faults, and the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use fastrand::Rng;
use streamgate_test_support::RedisVersion;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::actors::writer::Habits;
use crate::actors::{consumer, tail, writer};
use crate::faults::{self, Subject};
use crate::journal::{ConsumerJournal, History, Id, TailJournal, WriterJournal};
use crate::ledger::Ledger;
use crate::report::Report;
use crate::schedule::{Pace, Place, schedule};
use crate::stage::{Phase, STREAMS, Stage};
use crate::world::{Processes, World, blocking};

/// Stream and adds at once of each writer, and whether it pads.
const WRITERS: [(usize, u32, bool); 7] = [
    (0, 1, false),
    (0, 4, false),
    (1, 1, true),
    (1, 8, false),
    (2, 4, true),
    (2, 8, false),
    (3, 2, false),
];

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

/// Consumers of the group that subscribe, and those that read by calls.
const CONSUMERS: (usize, usize) = (3, 2);

/// How long all is well before the proxies are cut from Redis once more: longer than a client takes
/// to notice that its connection is dead, and to make another.
const CALM: Duration = Duration::from_secs(3);

/// How long nothing may change before it is taken for settled: longer than any bytes are held by
/// what is well.
const QUIET: Duration = Duration::from_millis(1_500);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Longest time for readers to read on to the end, and for the group to be given all. Redis's silence
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
        streams: ledger.contents().await?,
    })
}

/// Ready when the groups were given all, and do not change any more.
async fn all_given(ledger: &mut Ledger, last_ids: &[Id]) -> anyhow::Result<()> {
    let with_group: Vec<Id> = STREAMS
        .iter()
        .zip(last_ids)
        .filter(|(stream, _)| stream.has_group)
        .map(|(_, last)| *last)
        .collect();
    loop {
        let groups = settled(async || Ok(ledger.groups().await?)).await?;
        let given = groups.iter().map(|(given, _)| *given);
        if given.zip(&with_group).all(|(given, last)| given >= *last) {
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
    };
    let mut rng = Rng::with_seed(seed);
    let mut fronts = [0, 1].into_iter().cycle();
    let mut client = || world.client(fronts.next().unwrap_or(0));
    for (writer, &(stream, depth, pads)) in (0..).zip(&WRITERS) {
        let habits = Habits {
            writer,
            stream,
            depth,
            pads,
        };
        let writer = writer::run(client().await?, stage.clone(), habits, rng.fork());
        cast.writers.spawn(writer);
    }
    for (number, &(stream, moody)) in TAILS.iter().enumerate() {
        let journal = TailJournal {
            name: format!("tail {number}"),
            stream,
            ..TailJournal::default()
        };
        let moody = moody.then(|| rng.fork());
        let tail = tail::follow(client().await?, stage.clone(), journal, moody);
        cast.tails.spawn(tail);
    }
    for (number, &(stream, moody)) in READERS.iter().enumerate() {
        let journal = TailJournal {
            name: format!("reader {number}"),
            stream,
            ..TailJournal::default()
        };
        let moody = moody.then(|| rng.fork());
        let reader = tail::read(client().await?, stage.clone(), journal, moody);
        cast.tails.spawn(reader);
    }
    for number in 0..CONSUMERS.0 + CONSUMERS.1 {
        let journal = ConsumerJournal {
            name: format!("consumer {number}"),
            ..ConsumerJournal::default()
        };
        let (client, stage, rng) = (client().await?, stage.clone(), rng.fork());
        if number < CONSUMERS.0 {
            cast.consumers
                .spawn(consumer::consume(client, stage, journal, rng));
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
