//! Adds, one after the other or a few at once, and goes on whatever becomes of them.

use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use streamgate_client::{Client, StreamingBackend};
use tokio::time::Instant;

use crate::journal::{Add, Id, Outcome, Text, WriterJournal};
use crate::stage::{FIELD, PAUSE, STREAMS, Stage, outcome};

/// Milliseconds between a writer's calls, at most: so that a run of half an hour has about a
/// million entries, which its checker holds in memory.
const MAX_PAUSE_MS: u64 = 30;

/// Bytes of padding of a large entry, at most: as many as take several packets, and no relay passes
/// on at once.
const MAX_PADDING: usize = 30_000;

/// One call of so many of the writer that pads adds large entries. Redis holds all of them.
const LARGE: u32 = 16;

/// How long a writer tries to get something through when all is well again.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// What a writer is like.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) writer: u32,
    pub(crate) stream: usize,
    /// Adds at once, at most.
    pub(crate) depth: u32,
    /// Some of its entries are large.
    pub(crate) pads: bool,
    /// For how long its client asks again.
    pub(crate) patience: Duration,
}

/// Writes until the run ends, and then until one add is acknowledged.
pub(crate) async fn run(
    client: Client,
    stage: Stage,
    Habits {
        writer,
        stream,
        depth,
        pads,
        patience,
    }: Habits,
    mut rng: Rng,
) -> WriterJournal {
    let mut journal = WriterJournal {
        writer,
        stream,
        patience: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
        adds: Vec::new(),
    };
    while stage.is_running() {
        let padding = if pads && rng.u32(0..LARGE) == 0 {
            rng.usize(0..MAX_PADDING)
        } else {
            0
        };
        let adds = add(&client, &stage, &journal, rng.u32(1..=depth), padding).await;
        let failed = adds
            .iter()
            .any(|add| !matches!(add.outcome, Outcome::Done(_)));
        journal.adds.extend(adds);
        let pause = Duration::from_millis(rng.u64(0..MAX_PAUSE_MS));
        tokio::time::sleep(if failed { pause.max(PAUSE) } else { pause }).await;
    }
    let end = Instant::now() + END_PATIENCE;
    loop {
        let adds = add(&client, &stage, &journal, 1, 0).await;
        journal.adds.extend(adds);
        let last = journal.adds.last().map(|add| &add.outcome);
        if matches!(last, Some(Outcome::Done(_))) || Instant::now() >= end {
            return journal;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The next so many adds at once, which are sent in the order of their numbers.
async fn add(
    client: &Client,
    stage: &Stage,
    journal: &WriterJournal,
    count: u32,
    padding: usize,
) -> Vec<Add> {
    let stream = &STREAMS[journal.stream];
    let first = journal.adds.last().map_or(0, |add| add.number + 1);
    let add = async |number| {
        let text = Text {
            writer: journal.writer,
            number,
        };
        let fields = vec![(FIELD.to_owned(), text.padded(padding))];
        let began = stage.now();
        let outcome = outcome(client.stream_add(stream.name, fields, stream.maxlen)).await;
        let outcome = match outcome {
            Outcome::Done(id) => match Id::parse(&id) {
                Some(id) => Outcome::Done(id),
                None => Outcome::Refused(format!("ERR the id {id}")),
            },
            Outcome::Unknown(why) => Outcome::Unknown(why),
            Outcome::Refused(code) => Outcome::Refused(code),
            Outcome::Hung => Outcome::Hung,
        };
        Add {
            number,
            began,
            ended: stage.now(),
            outcome,
        }
    };
    join_all((first..first + count).map(add)).await
}
