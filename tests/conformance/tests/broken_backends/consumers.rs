//! Faults of consumers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use streamgate_protocol::{Bytes, ConsumeOptions, Deliveries};
use tokio::sync::mpsc;

use crate::{Broken, Fault};

impl Broken {
    pub(crate) fn consume_wrongly(
        &self,
        [stream, group, consumer]: [Bytes<'_>; 3],
        options: ConsumeOptions,
    ) -> Deliveries {
        let batch = match (self.fault, options.batch) {
            (Fault::ConsumeIgnoresItsBatch, 1..) => 1_000,
            (Fault::ConsumeAcceptsBatch0, 0) => 1_000,
            (_, batch) => batch,
        };
        let inner = Arc::clone(&self.inner);
        let mut options = options.batch(batch);
        match self.fault {
            Fault::ConsumeReclaimsNothing => {
                options.claim_after_ms = None;
                options.max_deliveries = None;
                options.dead_letter = None;
            }
            Fault::ConsumeIgnoresMaxDeliveries => {
                options.max_deliveries = None;
                options.dead_letter = None;
            }
            _ => {}
        }
        let is_first = consumer == "first" || consumer == "consumer0";
        let deliveries = inner.consume_group(stream, group, consumer, options);
        match self.fault {
            Fault::ConsumeStartsBeforeItsFirstPoll => spawned(deliveries, 1),
            Fault::ConsumeReadsAheadWithoutPolls => late(async { spawned(deliveries, 10_000) }),
            Fault::ConsumeIsNotCancelled => late(async { spawned(deliveries, 1) }),
            Fault::ConsumeReversesTheQueue if is_first => late(async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                deliveries
            }),
            fault => broken(deliveries, fault),
        }
    }
}

fn broken(deliveries: Deliveries, fault: Fault) -> Deliveries {
    deliveries
        .flat_map(move |batch| {
            stream::iter(match (fault, batch) {
                (Fault::ConsumeDeliversTwice, Ok(batch)) => vec![Ok(batch); 2],
                (Fault::ConsumeReturnsEmptyBatches, Ok(batch)) => vec![Ok(batch), Ok(Vec::new())],
                (Fault::ConsumeHidesItsError, Err(_)) => Vec::new(),
                (_, batch) => vec![batch],
            })
        })
        .take(match fault {
            Fault::ConsumeEndsWithoutAnError => 3,
            _ => usize::MAX,
        })
        .chain(match fault {
            Fault::ConsumeContinuesAfterItsError => stream::pending().boxed(),
            _ => stream::empty().boxed(),
        })
        .boxed()
}

/// Deliveries that are created by the first poll.
fn late(deliveries: impl Future<Output = Deliveries> + Send + 'static) -> Deliveries {
    stream::once(deliveries).flatten().boxed()
}

/// Deliveries that are read ahead by that many batches, polled or not. The task continues after
/// they were dropped, until it receives a batch.
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
