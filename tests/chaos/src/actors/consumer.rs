//! Takes entries of the group and acknowledges them, by a subscription or by reads that wait.

use fastrand::Rng;
use futures_util::StreamExt;
use streamgate_client::{
    Client, ConsumeOptions, StreamEntry, StreamingBackend, SubscribingBackend,
};

use crate::journal::{ConsumerJournal, Given, Outcome, Text};
use crate::stage::{
    CLAIM_AFTER, DEAD_LETTERS, GROUP, MAX_DELIVERIES, PAUSE, Rules, STREAMS, Stage, code_of, entry,
    outcome,
};

/// Entries that are given at once, at most.
const BATCH: usize = 8;

/// How long a read waits.
const BLOCK_MS: usize = 700;

/// One batch of so many is left pending on purpose.
const LEFT: u32 = 50;

/// One entry of so many of each writer is never acknowledged by anybody, where it will be given up.
const POISON: u32 = 61;

/// After one batch of so many a consumer that does so leaves, and comes back. What is on its way to it stays
/// pending.
const ANEW: u32 = 200;

pub(crate) async fn consume(
    client: Client,
    mut stage: Stage,
    mut journal: ConsumerJournal,
    leaves: bool,
    mut rng: Rng,
) -> ConsumerJournal {
    let stream = STREAMS[journal.stream].name;
    loop {
        let options = options(journal.takes_over);
        let mut deliveries = client.consume(stream, GROUP, &journal.name, options);
        journal.given.push(Given::Opened);
        loop {
            let batch = tokio::select! {
                batch = deliveries.next() => batch,
                () = stage.over() => return journal,
            };
            match batch {
                Some(Ok(batch)) => {
                    take(&client, &stage, &mut journal, &batch, &mut rng).await;
                    if leaves && rng.u32(0..ANEW) == 0 {
                        journal.given.push(Given::Left(stage.now()));
                        break;
                    }
                }
                Some(Err(error)) => {
                    journal
                        .given
                        .push(Given::Ended(code_of(&error), stage.now()));
                    break;
                }
                None => {
                    journal
                        .given
                        .push(Given::Ended("INTERNAL".to_owned(), stage.now()));
                    break;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn options(takes_over: bool) -> ConsumeOptions {
    let mut options = ConsumeOptions::default().batch(BATCH);
    if takes_over {
        options.claim_after_ms = u64::try_from(CLAIM_AFTER.as_millis()).ok();
        options.max_deliveries = Some(MAX_DELIVERIES);
        options.dead_letter = Some(DEAD_LETTERS.to_owned());
    }
    options
}

pub(crate) async fn read(
    client: Client,
    mut stage: Stage,
    mut journal: ConsumerJournal,
    mut rng: Rng,
) -> ConsumerJournal {
    let stream = STREAMS[journal.stream].name;
    journal.given.push(Given::Opened);
    loop {
        let name = journal.name.clone();
        let read = client.stream_read_group(stream, GROUP, &name, BATCH, Some(BLOCK_MS));
        let batch = tokio::select! {
            batch = read => batch,
            () = stage.over() => return journal,
        };
        match batch {
            Ok(batch) => take(&client, &stage, &mut journal, &batch, &mut rng).await,
            Err(error) => {
                journal
                    .given
                    .push(Given::Ended(code_of(&error), stage.now()));
                journal.given.push(Given::Opened);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Writes down what it was given, and acknowledges most of it.
async fn take(
    client: &Client,
    stage: &Stage,
    journal: &mut ConsumerJournal,
    batch: &[StreamEntry],
    rng: &mut Rng,
) {
    let stream = &STREAMS[journal.stream];
    let now = stage.now();
    let entries: Vec<_> = batch.iter().map(entry).collect();
    let given = entries
        .iter()
        .map(|(id, text)| Given::Delivered(*id, *text, now));
    journal.given.extend(given);
    if rng.u32(0..LEFT) == 0 {
        return;
    }
    let mut good = entries;
    if stream.group == Some(Rules::TakeOver) {
        good.retain(|(_, text)| !is_poison(*text));
    }
    if good.is_empty() {
        return;
    }
    let ids: Vec<String> = good.iter().map(|(id, _)| id.to_string()).collect();
    let outcome: Outcome<()> = outcome(client.stream_ack(stream.name, GROUP, &ids)).await;
    let acked = good
        .iter()
        .map(|(id, _)| Given::Acked(*id, outcome.clone()));
    journal.given.extend(acked);
}

fn is_poison(text: Text) -> bool {
    text.number % POISON == POISON - 1
}
