//! Takes entries of the group and acknowledges them, by a subscription or by reads that wait.

use fastrand::Rng;
use futures_util::StreamExt;
use streamgate_client::{
    Client, ConsumeOptions, StreamEntry, StreamingBackend, SubscribingBackend,
};

use crate::journal::{ConsumerJournal, Given, Outcome};
use crate::stage::{GROUP, PAUSE, STREAMS, Stage, code_of, entry, id_of, outcome};

/// Entries that are given at once, at most.
const BATCH: usize = 8;

/// How long a read waits.
const BLOCK_MS: usize = 700;

/// One batch of so many is left pending on purpose.
const LEFT: u32 = 50;

/// After one batch of so many a consumer leaves, and comes back. What is on its way to it stays
/// pending.
const ANEW: u32 = 200;

pub(crate) async fn consume(
    client: Client,
    mut stage: Stage,
    mut journal: ConsumerJournal,
    mut rng: Rng,
) -> ConsumerJournal {
    let stream = STREAMS[journal.stream].name;
    loop {
        let options = ConsumeOptions { batch: BATCH };
        let mut deliveries = client.consume(stream, GROUP, &journal.name, options);
        journal.given.push(Given::Opened);
        loop {
            let batch = tokio::select! {
                batch = deliveries.next() => batch,
                () = stage.over() => return journal,
            };
            match batch {
                Some(Ok(batch)) => {
                    take(&client, &mut journal, &batch, &mut rng).await;
                    if rng.u32(0..ANEW) == 0 {
                        break;
                    }
                }
                Some(Err(error)) => {
                    journal.given.push(Given::Ended(code_of(&error)));
                    break;
                }
                None => {
                    journal.given.push(Given::Ended("INTERNAL".to_owned()));
                    break;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
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
            Ok(batch) => take(&client, &mut journal, &batch, &mut rng).await,
            Err(error) => {
                journal.given.push(Given::Ended(code_of(&error)));
                journal.given.push(Given::Opened);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Writes down what it was given, and acknowledges most of it.
async fn take(
    client: &Client,
    journal: &mut ConsumerJournal,
    batch: &[StreamEntry],
    rng: &mut Rng,
) {
    let entries = batch.iter().map(entry);
    journal
        .given
        .extend(entries.map(|(id, text)| Given::Delivered(id, text)));
    if batch.is_empty() || rng.u32(0..LEFT) == 0 {
        return;
    }
    let ids: Vec<String> = batch.iter().map(|(id, _)| id.clone()).collect();
    let stream = STREAMS[journal.stream].name;
    let outcome: Outcome<()> = outcome(client.stream_ack(stream, GROUP, &ids)).await;
    let acked = ids
        .iter()
        .map(|id| Given::Acked(id_of(id), outcome.clone()));
    journal.given.extend(acked);
}
