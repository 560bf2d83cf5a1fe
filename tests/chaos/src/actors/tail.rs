//! Reads all of a stream, by a tail or by reads that wait, and goes on from where it stood.

use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use streamgate_client::{Client, SubscribingBackend, TailFrom, TailItem};
use tokio::time::{sleep, timeout};

use crate::journal::{Id, Seen, TailJournal};
use crate::stage::{CALL_PATIENCE, PAUSE, STREAMS, Stage, code_of, entry, id_of};

/// How long a read waits.
const BLOCK_MS: usize = 700;

/// Entries that a read gives at most.
const COUNT: usize = 100;

/// Longest rest in milliseconds of a tail that is moody. Its stream's writers trim away what it has
/// not read by then.
const MAX_REST_MS: u64 = 4_000;

/// Of so many items, one each makes a tail that is moody rest, begin anew where it stands, and begin
/// anew at the end.
const MOODS: u8 = 32;

/// Follows a stream. One that is moody rests now and then, or begins anew.
pub(crate) async fn follow(
    client: Client,
    mut stage: Stage,
    mut journal: TailJournal,
    mut moody: Option<Rng>,
) -> TailJournal {
    let stream = journal.stream;
    let mut position: Option<Id> = None;
    let mut from_end = false;
    loop {
        let from = match position {
            _ if from_end => TailFrom::Now,
            Some(position) => TailFrom::After(position.to_string()),
            None => TailFrom::Beginning,
        };
        let mut tail = client.tail(STREAMS[stream].name, from);
        journal
            .seen
            .push(Seen::Opened(position.unwrap_or_default()));
        loop {
            if stage.has_read_all(stream, position.unwrap_or_default()) {
                return journal;
            }
            let item = tokio::select! {
                item = tail.next() => item,
                // It may be that all is read.
                changed = stage.phase.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return journal,
                },
            };
            match item {
                Some(Ok(item)) => {
                    if std::mem::take(&mut from_end) {
                        journal.seen.push(Seen::Skipped(begins_behind(&item)));
                    }
                    position = Some(see(&mut journal, item));
                }
                Some(Err(error)) => {
                    journal.seen.push(Seen::Ended(code_of(&error)));
                    break;
                }
                None => {
                    journal.seen.push(Seen::Ended("INTERNAL".to_owned()));
                    break;
                }
            }
            if let Some(rng) = moody.as_mut().filter(|_| stage.is_running()) {
                match rng.u8(0..MOODS) {
                    0 => sleep(Duration::from_millis(rng.u64(0..MAX_REST_MS))).await,
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

/// Reads a stream by calls. One that is moody goes on from the end now and then.
pub(crate) async fn read(
    client: Client,
    stage: Stage,
    mut journal: TailJournal,
    mut moody: Option<Rng>,
) -> TailJournal {
    let stream = journal.stream;
    let mut position = "0-0".to_owned();
    journal.seen.push(Seen::Opened(id_of(&position)));
    while !stage.has_read_all(stream, id_of(&position)) {
        let is_moody = moody.as_mut().is_some_and(|rng| rng.u8(0..MOODS) == 0);
        let from_end = is_moody && stage.is_running();
        let from = if from_end { "$" } else { &position };
        let read = client.read_batch(STREAMS[stream].name, from, COUNT, Some(BLOCK_MS));
        let Ok(batch) = timeout(CALL_PATIENCE, read).await else {
            // No code of the table, so that the checker objects.
            journal.seen.push(Seen::Ended("HUNG".to_owned()));
            continue;
        };
        match batch {
            Ok(batch) => {
                if from_end {
                    let first = batch.entries.first().map(|(id, _)| id_of(id).before());
                    let behind = first.unwrap_or_else(|| id_of(&batch.last_id));
                    journal.seen.push(Seen::Skipped(behind));
                }
                let entries = batch.entries.iter().map(entry);
                journal
                    .seen
                    .extend(entries.map(|(id, text)| Seen::Entry(id, text)));
                position = batch.last_id;
            }
            Err(error) => {
                journal.seen.push(Seen::Ended(code_of(&error)));
                journal.seen.push(Seen::Opened(id_of(&position)));
                sleep(PAUSE).await;
            }
        }
    }
    journal
}

/// Where a tail from the end stood before its first item.
fn begins_behind(item: &TailItem) -> Id {
    match item {
        TailItem::Entries { entries, position } => match entries.first() {
            Some((id, _)) => id_of(id).before(),
            None => id_of(position),
        },
        TailItem::Gap(gap) => id_of(&gap.after),
        other => panic!("unknown item {other:?}"),
    }
}

/// Writes down an item, and returns where to go on.
fn see(journal: &mut TailJournal, item: TailItem) -> Id {
    match item {
        TailItem::Entries { entries, position } => {
            let entries = entries.iter().map(entry);
            journal
                .seen
                .extend(entries.map(|(id, text)| Seen::Entry(id, text)));
            id_of(&position)
        }
        TailItem::Gap(gap) => {
            let position = id_of(&gap.position);
            journal.seen.push(Seen::Gap {
                after: id_of(&gap.after),
                first: gap.first.as_deref().map(id_of),
                position,
                recreated: gap.recreated,
            });
            position
        }
        other => panic!("unknown item {other:?}"),
    }
}
