//! What can be wrong with consumers that are given entries as they come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use streamgate_protocol::{ConsumeOptions, Deliveries};
use tokio::sync::mpsc;

use crate::{Broken, Fault};

impl Broken {
    pub(crate) fn consume_wrongly(&self, names: [&str; 3], options: ConsumeOptions) -> Deliveries {
        let batch = match (self.fault, options.batch) {
            (Fault::ConsumeIgnoresItsBatch, 1..) => 1_000,
            (Fault::ConsumeTakesBatch0, 0) => 1_000,
            (_, batch) => batch,
        };
        let [stream, group, consumer] = names;
        let inner = Arc::clone(&self.inner);
        let mut options = options.batch(batch);
        match self.fault {
            Fault::ConsumeTakesNothingOver => {
                options.claim_after_ms = None;
                options.max_deliveries = None;
                options.dead_letter = None;
            }
            Fault::ConsumeDeliversForEver => {
                options.max_deliveries = None;
                options.dead_letter = None;
            }
            _ => {}
        }
        let deliveries = inner.consume(stream, group, consumer, options);
        match self.fault {
            Fault::ConsumeBeginsWhenItIsMade => spawned(deliveries, 1),
            Fault::ConsumeTakesWhatIsNotPolled => late(async { spawned(deliveries, 10_000) }),
            Fault::ConsumeIsNotCancelled => late(async { spawned(deliveries, 1) }),
            Fault::ConsumeServesTheLastFirst if ["first", "consumer0"].contains(&consumer) => {
                late(async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    deliveries
                })
            }
            fault => broken(deliveries, fault),
        }
    }
}

fn broken(deliveries: Deliveries, fault: Fault) -> Deliveries {
    deliveries
        .flat_map(move |batch| {
            stream::iter(match (fault, batch) {
                (Fault::ConsumeGivesTwice, Ok(batch)) => vec![Ok(batch); 2],
                (Fault::ConsumeGivesEmptyBatches, Ok(batch)) => vec![Ok(batch), Ok(Vec::new())],
                (Fault::ConsumeEndsWithoutItsError, Err(_)) => Vec::new(),
                (_, batch) => vec![batch],
            })
        })
        .take(match fault {
            Fault::ConsumeEndsWithoutAnError => 3,
            _ => usize::MAX,
        })
        .chain(match fault {
            Fault::ConsumeGoesOnAfterItsError => stream::pending().boxed(),
            _ => stream::empty().boxed(),
        })
        .boxed()
}

/// Made in the first poll.
fn late(deliveries: impl Future<Output = Deliveries> + Send + 'static) -> Deliveries {
    stream::once(deliveries).flatten().boxed()
}

/// Taken whether it is polled or not, so many batches ahead. It goes on when it is dropped, until
/// it is given something.
fn spawned(mut deliveries: Deliveries, ahead: usize) -> Deliveries {
    let (sender, receiver) = mpsc::channel(ahead);
    tokio::spawn(async move {
        while let Some(batch) = deliveries.next().await {
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    });
    stream::unfold(receiver, async |mut receiver| {
        let batch = receiver.recv().await?;
        Some((batch, receiver))
    })
    .boxed()
}
