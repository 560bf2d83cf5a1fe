//! Adds entries, one after the other or a few at once, and continues after any outcome.

use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use streamgate_client::{Client, StreamingBackend};
use tokio::time::Instant;

use streamgate_protocol::EntryId;

use crate::journal::{Add, EntryTag, Outcome, WriterJournal};
use crate::scenario::{FIELD, PAUSE, RunContext, STREAMS, outcome};

/// Longest pause between a writer's calls in ms: a run of half an hour has about a million entries,
/// which the checker holds in memory.
const MAX_PAUSE_MS: u64 = 30;

/// Most bytes of padding of a large entry: enough for several packets, so that a relay can cut in
/// between.
const MAX_PADDING: usize = 30_000;

/// One in this many calls of a padding writer adds large entries. Redis holds all of them.
const LARGE_ONE_IN: u32 = 16;

/// How long a writer tries to get a last add through after all faults.
const FINISH_TIMEOUT: Duration = Duration::from_secs(30);

/// The configuration of a writer.
#[derive(Clone, Copy)]
pub(crate) struct WriterConfig {
    pub(crate) writer: u32,
    pub(crate) stream: usize,
    /// Most adds at once.
    pub(crate) depth: u32,
    /// Whether some of its entries are large.
    pub(crate) pads: bool,
    /// How long its client retries.
    pub(crate) retry_timeout: Duration,
}

/// Adds until the run ends, and then until one add is acknowledged.
pub(crate) async fn run(
    client: Client,
    context: RunContext,
    WriterConfig {
        writer,
        stream,
        depth,
        pads,
        retry_timeout,
    }: WriterConfig,
    mut rng: Rng,
) -> WriterJournal {
    let mut journal = WriterJournal {
        writer,
        stream,
        retry_timeout: u32::try_from(retry_timeout.as_millis()).unwrap_or(u32::MAX),
        foreign_padding: None,
        adds: Vec::new(),
    };
    while context.is_running() {
        let padding = if pads && rng.u32(0..LARGE_ONE_IN) == 0 {
            rng.usize(0..MAX_PADDING)
        } else {
            0
        };
        let adds = add(&client, &context, &journal, rng.u32(1..=depth), padding).await;
        let failed = adds
            .iter()
            .any(|add| !matches!(add.outcome, Outcome::Done(_)));
        journal.adds.extend(adds);
        let pause = Duration::from_millis(rng.u64(0..MAX_PAUSE_MS));
        tokio::time::sleep(if failed { pause.max(PAUSE) } else { pause }).await;
    }
    let end = Instant::now() + FINISH_TIMEOUT;
    loop {
        let adds = add(&client, &context, &journal, 1, 0).await;
        journal.adds.extend(adds);
        let last = journal.adds.last().map(|add| &add.outcome);
        if matches!(last, Some(Outcome::Done(_))) || Instant::now() >= end {
            return journal;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Makes the next `count` adds at once. The client sends them in the order of their numbers.
async fn add(
    client: &Client,
    context: &RunContext,
    journal: &WriterJournal,
    count: u32,
    padding: usize,
) -> Vec<Add> {
    let stream = &STREAMS[journal.stream];
    let first = journal.adds.last().map_or(0, |add| add.number + 1);
    let add = async |number| {
        let tag = EntryTag {
            writer: journal.writer,
            number,
        };
        let fields = vec![(FIELD.to_owned(), tag.padded(padding))];
        let started = context.now();
        let outcome = outcome(client.stream_add(stream.name, fields, stream.maxlen)).await;
        let outcome = match outcome {
            Outcome::Done(id) => match EntryId::parse(&id) {
                Ok(id) => Outcome::Done(id),
                Err(_) => Outcome::Refused(format!("ERR a malformed id: {id}")),
            },
            Outcome::Unknown(why) => Outcome::Unknown(why),
            Outcome::Refused(code) => Outcome::Refused(code),
            Outcome::Hung => Outcome::Hung,
        };
        Add {
            number,
            started,
            ended: context.now(),
            outcome,
        }
    };
    join_all((first..first + count).map(add)).await
}
