//! Consumes entries of a group by a subscription or by reads that wait, and acknowledges them.

use fastrand::Rng;
use futures_util::StreamExt;
use streamgate_client::{
    Client, ConsumeOptions, Entry, EntryOperations, StreamingBackend, SubscribingBackend,
};

use crate::journal::{ConsumerJournal, ConsumerRecord, EntryTag, Outcome};
use crate::scenario::{
    CLAIM_AFTER, DEAD_LETTERS, GROUP, MAX_DELIVERIES, PAUSE, PendingPolicy, RunContext, STREAMS,
    code_of, entry, outcome, too_large_entry,
};

/// The most entries of a batch.
const BATCH: usize = 8;

/// How long a read waits, in ms.
const BLOCK_MS: usize = 700;

/// One in this many batches is left pending on purpose.
const UNACKED_ONE_IN: u32 = 50;

/// One in this many entries of each writer is never acknowledged, and becomes a dead letter.
const POISON_ONE_IN: u32 = 61;

/// After one in this many batches, a resubscribing consumer resubscribes and comes back. Entries on
/// their way to it stay pending.
const RESUBSCRIBE_ONE_IN: u32 = 200;

pub(crate) async fn consume(
    client: Client,
    mut context: RunContext,
    mut journal: ConsumerJournal,
    resubscribes: bool,
    mut rng: Rng,
) -> ConsumerJournal {
    let stream = STREAMS[journal.stream].name;
    loop {
        let options = options(journal.reclaims);
        let mut deliveries = client.consume(stream, GROUP, &journal.name, options);
        journal.records.push(ConsumerRecord::Opened);
        loop {
            let batch = tokio::select! {
                batch = deliveries.next() => batch,
                () = context.over() => return journal,
            };
            match batch {
                Some(Ok(batch)) => {
                    process(&client, &context, &mut journal, &batch, &mut rng).await;
                    if resubscribes && rng.u32(0..RESUBSCRIBE_ONE_IN) == 0 && context.is_running() {
                        journal.records.push(ConsumerRecord::Left(context.now()));
                        break;
                    }
                }
                Some(Err(error)) => {
                    journal.last_error = error.message().to_owned();
                    journal
                        .records
                        .push(ConsumerRecord::Ended(code_of(&error), context.now()));
                    break;
                }
                None => {
                    journal
                        .records
                        .push(ConsumerRecord::Ended("INTERNAL".to_owned(), context.now()));
                    break;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn options(reclaims: bool) -> ConsumeOptions {
    let mut options = ConsumeOptions::default().batch(BATCH);
    if reclaims {
        options.claim_after_ms = u64::try_from(CLAIM_AFTER.as_millis()).ok();
        options.max_deliveries = Some(MAX_DELIVERIES);
        options.dead_letter = Some(DEAD_LETTERS.into());
    }
    options
}

pub(crate) async fn read(
    client: Client,
    mut context: RunContext,
    mut journal: ConsumerJournal,
    mut rng: Rng,
) -> ConsumerJournal {
    let stream = STREAMS[journal.stream].name;
    journal.records.push(ConsumerRecord::Opened);
    loop {
        let name = journal.name.clone();
        let read = client.read_group_entries(stream, GROUP, &name, BATCH, Some(BLOCK_MS));
        let batch = tokio::select! {
            batch = read => batch,
            () = context.over() => return journal,
        };
        match batch {
            Ok(batch) => process(&client, &context, &mut journal, &batch, &mut rng).await,
            Err(error) if let Some(entry) = too_large_entry(&error) => {
                context.record_received(journal.stream, [entry].into_iter());
                journal.records.push(ConsumerRecord::TooLarge(entry));
            }
            Err(error) => {
                journal
                    .records
                    .push(ConsumerRecord::Ended(code_of(&error), context.now()));
                journal.records.push(ConsumerRecord::Opened);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Records a batch, and acknowledges most of it.
async fn process(
    client: &Client,
    context: &RunContext,
    journal: &mut ConsumerJournal,
    batch: &[Entry],
    rng: &mut Rng,
) {
    let stream = &STREAMS[journal.stream];
    let now = context.now();
    let entries: Vec<_> = batch.iter().map(entry).collect();
    context.record_received(journal.stream, entries.iter().map(|(id, _)| *id));
    let given = entries
        .iter()
        .map(|(id, text)| ConsumerRecord::Delivered(*id, *text, now));
    journal.records.extend(given);
    if rng.u32(0..UNACKED_ONE_IN) == 0 {
        return;
    }
    let mut good = entries;
    if stream.group == Some(PendingPolicy::Reclaim) {
        good.retain(|(_, text)| !is_poison(*text));
    }
    if good.is_empty() {
        return;
    }
    let ids: Vec<String> = good.iter().map(|(id, _)| id.to_string()).collect();
    let outcome: Outcome<()> = outcome(client.stream_ack(stream.name, GROUP, &ids)).await;
    let acked = good
        .iter()
        .map(|(id, _)| ConsumerRecord::Acked(*id, outcome.clone()));
    journal.records.extend(acked);
}

fn is_poison(text: EntryTag) -> bool {
    text.number % POISON_ONE_IN == POISON_ONE_IN - 1
}
