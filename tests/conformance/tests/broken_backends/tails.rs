//! Faults of tails.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use streamgate_protocol::{
    Bytes, CacheResult, ConsumeOptions, Deliveries, Entry, Gap, SubscribingBackend, Tail, TailFrom,
    TailItem,
};
use tokio::sync::mpsc;

use crate::operations::short;
use crate::{Broken, Fault};

/// Entries that a lossy tail buffers while it is not polled.
const BUFFERED: usize = 512;

type Item = CacheResult<TailItem>;

impl SubscribingBackend for Broken {
    fn tail_stream(&self, stream_key: Bytes<'_>, from: TailFrom) -> Tail {
        let key = match self.fault {
            Fault::TailAcceptsOverlongKeys => short(&stream_key.to_text()).to_owned().into(),
            _ => stream_key,
        };
        let tail = self.inner.tail_stream(key, self.begin(from.clone()));
        match self.fault {
            Fault::TailStartsBeforeItsFirstPoll => spawned(tail),
            Fault::TailDropsEntriesThatAreNotPolled => lossy(tail),
            Fault::TailResolvesNowLate if from == TailFrom::Now => {
                let late = async move {
                    tokio::task::yield_now().await;
                    tail
                };
                stream::once(late).flatten().boxed()
            }
            Fault::TailsBlockAdds => {
                let waiting = Arc::clone(&self.waiting);
                let held = async move {
                    let held = waiting.read_owned().await;
                    tail.inspect(move |_| _ = &held)
                };
                stream::once(held).flatten().boxed()
            }
            fault => broken(tail, from, fault),
        }
    }

    fn consume_group(
        &self,
        stream_key: Bytes<'_>,
        group_name: Bytes<'_>,
        consumer_name: Bytes<'_>,
        options: ConsumeOptions,
    ) -> Deliveries {
        self.consume_wrongly([stream_key, group_name, consumer_name], options)
    }
}

impl Broken {
    fn begin(&self, from: TailFrom) -> TailFrom {
        match (self.fault, from) {
            (Fault::TailTreatsNowAsTheBeginning, TailFrom::Now)
            | (Fault::TailTreatsLast0AsAll, TailFrom::Last(0)) => TailFrom::Beginning,
            (Fault::TailReturnsOneEntryLessOfLast, TailFrom::Last(count)) => {
                TailFrom::Last(count.saturating_sub(1))
            }
            (Fault::TailIncludesItsId, TailFrom::After(id)) => TailFrom::After(before(&id)),
            (Fault::TailAcceptsMalformedIds, TailFrom::After(id)) if !is_id(&id) => {
                TailFrom::Beginning
            }
            (_, from) => from,
        }
    }
}

/// Applies the fault to the items of a tail.
fn broken(tail: Tail, from: TailFrom, fault: Fault) -> Tail {
    let mut place = 0;
    let mut last = None;
    let mut late = Vec::new();
    tail.flat_map(move |item| {
        place += 1;
        stream::iter(match item {
            Ok(TailItem::Entries { entries, position }) => {
                let mut items = Vec::new();
                let mut entries = entries;
                let mut position = position;
                let had_entries = !entries.is_empty();
                match fault {
                    Fault::TailLosesAnEntryAfterTheBacklog if place == 2 => drop(entries.remove(0)),
                    Fault::TailRepeatsAnEntryAfterTheBacklog if place == 2 => {
                        entries.splice(0..0, last.take());
                    }
                    Fault::TailReversesBatches => entries.reverse(),
                    Fault::TailReturnsEmptyBatches if place > 1 => {
                        items.push(Ok(TailItem::Entries {
                            entries: Vec::new(),
                            position: entries[0].id.clone(),
                        }))
                    }
                    Fault::TailTruncatesFields => entries
                        .iter_mut()
                        .for_each(|entry| entry.fields.truncate(1)),
                    Fault::TailReportsAWrongPosition if !had_entries => {
                        "0-0".clone_into(&mut position)
                    }
                    Fault::TailReportsFalseGaps if place == 1 && had_entries => {
                        if let TailFrom::After(after) = &from {
                            items.push(Ok(TailItem::Gap(false_gap(after, &entries[0].id))));
                        }
                    }
                    _ => {}
                }
                last = entries.last().cloned();
                let is_lost = had_entries && entries.is_empty();
                if !(is_lost || fault == Fault::TailHasNoFirstItem && !had_entries) {
                    items.push(Ok(TailItem::Entries { entries, position }));
                }
                items.append(&mut late);
                items
            }
            Ok(TailItem::Gap(mut gap)) => match fault {
                Fault::TailHidesGaps => Vec::new(),
                Fault::TailReportsGapsLate => {
                    late.push(Ok(TailItem::Gap(gap)));
                    Vec::new()
                }
                Fault::TailReportsGapsTwice => vec![Ok(TailItem::Gap(gap)); 2],
                Fault::TailResumesBeforeItsGap => {
                    gap.position.clone_from(&gap.after);
                    vec![Ok(TailItem::Gap(gap))]
                }
                _ => vec![Ok(TailItem::Gap(gap))],
            },
            Err(_) if fault == Fault::TailEndsWithoutAnError => Vec::new(),
            Err(_) if fault == Fault::TailHangsInsteadOfItsError => Vec::new(),
            other => vec![other],
        })
    })
    .chain(match fault {
        Fault::TailHangsInsteadOfItsError | Fault::TailContinuesAfterItsError => {
            stream::pending().boxed()
        }
        _ => stream::empty().boxed(),
    })
    .boxed()
}

/// A tail that is read from now on, polled or not.
fn spawned(mut tail: Tail) -> Tail {
    let (sender, receiver) = mpsc::unbounded_channel::<Item>();
    tokio::spawn(async move {
        while let Some(item) = tail.next().await {
            if sender.send(item).is_err() {
                return;
            }
        }
    });
    received(receiver)
}

/// A tail that drops entries instead of waiting for its reader.
fn lossy(tail: Tail) -> Tail {
    let reading = async move {
        let (sender, receiver) = mpsc::channel::<Item>(BUFFERED);
        tokio::spawn(async move {
            let mut entries = tail.flat_map(|item| {
                stream::iter(match item {
                    Ok(TailItem::Entries { entries, .. }) if !entries.is_empty() => {
                        let one = |entry: Entry| {
                            let position = entry.id.clone();
                            let entries = vec![entry];
                            Ok(TailItem::Entries { entries, position })
                        };
                        entries.into_iter().map(one).collect()
                    }
                    item => vec![item],
                })
            });
            while let Some(item) = entries.next().await {
                if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(item) {
                    return;
                }
            }
        });
        stream::unfold(receiver, async |mut receiver| {
            let item = receiver.recv().await?;
            Some((item, receiver))
        })
    };
    stream::once(reading).flatten().boxed()
}

fn received<T: Send + 'static>(
    receiver: mpsc::UnboundedReceiver<T>,
) -> stream::BoxStream<'static, T> {
    stream::unfold(receiver, async |mut receiver| {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
    .boxed()
}

fn false_gap(after: &str, first: &str) -> Gap {
    Gap::new(after, after).first(Some(first.to_owned()))
}

fn numbers(id: &str) -> Option<(u64, u64)> {
    let (ms, seq) = id.split_once('-').unwrap_or((id, "0"));
    Some((ms.parse().ok()?, seq.parse().ok()?))
}

fn is_id(id: &str) -> bool {
    numbers(id).is_some()
}

fn before(id: &str) -> String {
    match numbers(id) {
        None | Some((0, 0)) => id.to_owned(),
        Some((ms, 0)) => format!("{}-{}", ms - 1, u64::MAX),
        Some((ms, seq)) => format!("{ms}-{}", seq - 1),
    }
}
