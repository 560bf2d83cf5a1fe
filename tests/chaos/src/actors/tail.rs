//! Reads all of a stream by a tail or by reads that wait, and resumes from its position after
//! errors.

use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use streamgate_client::{Client, SubscribingBackend, TailFrom, TailItem};
use tokio::time::{sleep, timeout};

use streamgate_protocol::{EntryId, GapReason};

use crate::journal::{TailJournal, TailRecord};
use crate::scenario::{
    HANG_LIMIT, PAUSE, RunContext, STREAMS, before, code_of, entry, id_of, too_large_entry,
};

/// How long a read waits, in ms.
const BLOCK_MS: usize = 700;

/// The most entries of a read.
const COUNT: usize = 100;

/// Longest pause of an erratic tail in ms. Meanwhile the writers trim entries that it has not read.
const MAX_PAUSE_MS: u64 = 4_000;

/// One in this many items each makes an erratic tail pause, resubscribe at its position, and
/// resubscribe at the end.
const ERRATIC_ONE_IN: u8 = 32;

/// Reads a stream by a tail. An erratic one pauses or resubscribes now and then.
pub(crate) async fn tail(
    client: Client,
    mut context: RunContext,
    mut journal: TailJournal,
    mut erratic: Option<Rng>,
) -> TailJournal {
    let stream = journal.stream;
    let mut position: Option<EntryId> = None;
    let mut from_end = false;
    loop {
        let from = match position {
            _ if from_end => TailFrom::Now,
            Some(position) => TailFrom::After(position.to_string()),
            None => TailFrom::Beginning,
        };
        let mut subscription = client.tail(STREAMS[stream].name, from);
        journal
            .records
            .push(TailRecord::Opened(position.unwrap_or_default()));
        loop {
            if context.is_read_to_end(stream, position.unwrap_or_default()) {
                return journal;
            }
            let item = tokio::select! {
                item = subscription.next() => item,
                // All may be read by now.
                changed = context.phase.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return journal,
                },
            };
            match item {
                Some(Ok(item)) => {
                    if std::mem::take(&mut from_end) {
                        journal.records.push(TailRecord::Skipped(start_of(&item)));
                    }
                    position = Some(record(&mut journal, item));
                }
                Some(Err(error)) => {
                    journal.last_error = error.message().to_owned();
                    journal.records.push(TailRecord::Ended(code_of(&error)));
                    break;
                }
                None => {
                    journal
                        .records
                        .push(TailRecord::Ended("INTERNAL".to_owned()));
                    break;
                }
            }
            if let Some(rng) = erratic.as_mut().filter(|_| context.is_running()) {
                match rng.u8(0..ERRATIC_ONE_IN) {
                    0 => sleep(Duration::from_millis(rng.u64(0..MAX_PAUSE_MS))).await,
                    1 => break,
                    2 => {
                        from_end = true;
                        break;
                    }
                    _ => {}
                }
            }
        }
        sleep(PAUSE).await;
    }
}

/// Reads a stream by calls. An erratic reader continues from the end now and then.
pub(crate) async fn read(
    client: Client,
    context: RunContext,
    mut journal: TailJournal,
    mut erratic: Option<Rng>,
) -> TailJournal {
    let stream = journal.stream;
    let mut position = "0-0".to_owned();
    journal.records.push(TailRecord::Opened(id_of(&position)));
    while !context.is_read_to_end(stream, id_of(&position)) {
        let is_erratic = erratic
            .as_mut()
            .is_some_and(|rng| rng.u8(0..ERRATIC_ONE_IN) == 0);
        let from_end = is_erratic && context.is_running();
        let from = if from_end { "$" } else { &position };
        let read = client.read_batch(STREAMS[stream].name, from, COUNT, Some(BLOCK_MS));
        let Ok(batch) = timeout(HANG_LIMIT, read).await else {
            // The error table has no such code, so the checker reports it.
            journal.records.push(TailRecord::Ended("HUNG".to_owned()));
            continue;
        };
        match batch {
            Ok(batch) => {
                if from_end {
                    let first = batch.entries.first().map(|first| before(id_of(&first.id)));
                    let behind = first.unwrap_or_else(|| id_of(&batch.last_id));
                    journal.records.push(TailRecord::Skipped(behind));
                }
                let entries = batch.entries.iter().map(entry);
                journal
                    .records
                    .extend(entries.map(|(id, text)| TailRecord::Entry(id, text)));
                position = batch.last_id;
            }
            Err(error) if let Some(entry) = too_large_entry(&error) => {
                if from_end {
                    journal.records.push(TailRecord::Skipped(before(entry)));
                }
                journal.records.push(TailRecord::TooLarge(entry));
                position = entry.to_string();
            }
            Err(error) => {
                journal.records.push(TailRecord::Ended(code_of(&error)));
                journal.records.push(TailRecord::Opened(id_of(&position)));
                sleep(PAUSE).await;
            }
        }
    }
    journal
}

/// Returns the position of a tail from the end before its first item.
fn start_of(item: &TailItem) -> EntryId {
    match item {
        TailItem::Entries { entries, position } => match entries.first() {
            Some(first) => before(id_of(&first.id)),
            None => id_of(position),
        },
        TailItem::Gap(gap) => id_of(&gap.after),
        TailItem::Skipped(skipped) => before(id_of(&skipped.id)),
        // `record` reports it.
        _ => EntryId::ZERO,
    }
}

/// Records an item, and returns the position after it.
fn record(journal: &mut TailJournal, item: TailItem) -> EntryId {
    match item {
        TailItem::Entries { entries, position } => {
            let entries = entries.iter().map(entry);
            journal
                .records
                .extend(entries.map(|(id, text)| TailRecord::Entry(id, text)));
            id_of(&position)
        }
        TailItem::Gap(gap) => {
            let position = id_of(&gap.position);
            journal.records.push(TailRecord::Gap {
                after: id_of(&gap.after),
                first: gap.first.as_deref().map(id_of),
                position,
                recreated: gap.reason == GapReason::Recreated,
            });
            position
        }
        TailItem::Skipped(skipped) => {
            let id = id_of(&skipped.id);
            journal.records.push(TailRecord::TooLarge(id));
            id
        }
        // The checker reports this end.
        other => {
            let end = TailRecord::Ended(format!("INTERNAL: unknown item {other:?}"));
            journal.records.push(end);
            EntryId::ZERO
        }
    }
}
