//! A consumer of the group that records what it receives.

use futures_util::StreamExt;
use streamgate_client::{Client, ConsumeOptions, StreamingBackend, SubscribingBackend};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::deployment::{GROUP, STREAM};

/// How a consumer reads its group.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Subscription,
    /// By calls that wait.
    GroupReads,
}

/// The ids that a consumer receives. It acknowledges nothing.
pub(crate) struct Receiver {
    ids: mpsc::UnboundedReceiver<String>,
    receiving: JoinHandle<()>,
}

impl Receiver {
    /// Starts the consumer `c`, and returns when its server waits for entries.
    pub(crate) async fn start(client: &Client, kind: Kind) -> Self {
        let (sender, ids) = mpsc::unbounded_channel();
        let receiving = match kind {
            Kind::Subscription => tokio::spawn(subscribe(
                client.clone(),
                "c",
                ConsumeOptions::default(),
                sender,
            )),
            Kind::GroupReads => tokio::spawn(read(client.clone(), sender)),
        };
        // The server begins requests in their order.
        tokio::task::yield_now().await;
        client.stream_read_latest(STREAM, 1).await.unwrap();
        Self { ids, receiving }
    }

    /// Starts a subscription of another consumer.
    pub(crate) fn subscribe(client: &Client, name: &'static str, options: ConsumeOptions) -> Self {
        let (sender, ids) = mpsc::unbounded_channel();
        let receiving = tokio::spawn(subscribe(client.clone(), name, options, sender));
        Self { ids, receiving }
    }

    /// Returns the next ids, sorted.
    pub(crate) async fn next(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(self.ids.recv().await.unwrap());
        }
        ids.sort();
        ids
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

async fn subscribe(
    client: Client,
    name: &'static str,
    options: ConsumeOptions,
    ids: mpsc::UnboundedSender<String>,
) {
    let mut batches = client.consume(STREAM, GROUP, name, options);
    while let Some(batch) = batches.next().await {
        for entry in batch.unwrap() {
            ids.send(entry.id).unwrap();
        }
    }
}

async fn read(client: Client, ids: mpsc::UnboundedSender<String>) {
    loop {
        let batch = client.stream_read_group(STREAM, GROUP, "c", 64, Some(0));
        for (id, _) in batch.await.unwrap() {
            ids.send(id).unwrap();
        }
    }
}
