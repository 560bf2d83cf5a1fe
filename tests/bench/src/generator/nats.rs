//! NATS on its own WebSocket, with streams of JetStream in memory.

use super::command::{Command, Outcome};
use super::{Generator, pipelined_adds, unsupported};

mod adds;
mod connection;
mod parser;
mod tail;
mod wait;

pub(super) struct NatsGenerator {
    url: String,
    producers: Vec<adds::Producer>,
    tails: Vec<tail::Tails>,
    waits: Option<wait::Waits>,
}

impl NatsGenerator {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            producers: Vec::new(),
            tails: Vec::new(),
            waits: None,
        }
    }
}

impl Generator for NatsGenerator {
    async fn perform(&mut self, command: Command) -> anyhow::Result<Outcome> {
        match command {
            Command::Add {
                connections,
                depth,
                seconds,
            } => {
                while self.producers.len() < connections {
                    let number = self.producers.len();
                    let producer = adds::Producer::start(&self.url, number).await?;
                    self.producers.push(producer);
                }
                pipelined_adds::run(&mut self.producers[..connections], depth, seconds).await
            }
            Command::Tail { tails } => {
                let number = self.tails.len();
                let mut opened = tail::Tails::open(&self.url, number, tails).await?;
                let outcome = opened.publish(1.0, 1.0).await;
                self.tails.push(opened);
                outcome
            }
            Command::Wait { waits, connections } => {
                self.waits = Some(wait::Waits::begin(&self.url, connections, waits).await?);
                Ok(Outcome::default())
            }
            command => match (&command, self.tails.last_mut(), &mut self.waits) {
                (Command::Publish { rate, seconds }, Some(tails), _) => {
                    tails.publish(*rate, *seconds).await
                }
                (Command::Wake { times, rate }, _, Some(waits)) => waits.wake(*times, *rate).await,
                _ => unsupported(&command),
            },
        }
    }
}
