//! NATS on its own WebSocket, with streams of JetStream in memory.

use super::order::{Order, Outcome};
use super::{Generator, no_counterpart, slots};

mod adds;
mod connection;
mod parser;
mod tail;
mod wait;

pub(super) struct Load {
    url: String,
    producers: Vec<adds::Producer>,
    tails: Vec<tail::Tails>,
    waits: Option<wait::Waits>,
}

impl Load {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            producers: Vec::new(),
            tails: Vec::new(),
            waits: None,
        }
    }
}

impl Generator for Load {
    async fn perform(&mut self, order: Order) -> anyhow::Result<Outcome> {
        match order {
            Order::Add {
                connections,
                depth,
                seconds,
            } => {
                while self.producers.len() < connections {
                    let number = self.producers.len();
                    let producer = adds::Producer::start(&self.url, number).await?;
                    self.producers.push(producer);
                }
                slots::keep(&mut self.producers[..connections], depth, seconds).await
            }
            Order::Tail { tails } => {
                let number = self.tails.len();
                let mut opened = tail::Tails::open(&self.url, number, tails).await?;
                let outcome = opened.publish(1.0, 1.0).await;
                self.tails.push(opened);
                outcome
            }
            Order::Wait { waits, connections } => {
                self.waits = Some(wait::Waits::begin(&self.url, connections, waits).await?);
                Ok(Outcome::default())
            }
            order => match (&order, self.tails.last_mut(), &mut self.waits) {
                (Order::Publish { rate, seconds }, Some(tails), _) => {
                    tails.publish(*rate, *seconds).await
                }
                (Order::Wake { times, rate }, _, Some(waits)) => waits.wake(*times, *rate).await,
                _ => no_counterpart(&order),
            },
        }
    }
}
