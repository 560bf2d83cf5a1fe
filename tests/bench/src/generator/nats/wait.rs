//! Many subscribers of a subject each, whose messages a stream stores.

use std::time::Instant;

use anyhow::Context;
use tokio::sync::mpsc;

use super::connection::Connection;
use crate::generator::order::Outcome;
use crate::generator::streams::{MAXLEN, WAKE_STEP};
use crate::generator::{keep, pace, payload};
use crate::statistics::Times;

pub(super) struct Waits {
    waits: usize,
    /// Where a publication is acknowledged.
    inbox: String,
    publisher: Connection,
    woken: mpsc::UnboundedReceiver<(usize, Instant)>,
}

impl Waits {
    pub(super) async fn begin(url: &str, connections: usize, waits: usize) -> anyhow::Result<Self> {
        let mut publisher = Connection::open(url).await?;
        let inbox = publisher.create_stream("WAITS", "waits.*", MAXLEN).await?;
        let (sender, woken) = mpsc::unbounded_channel();
        for first in 0..connections {
            let mut connection = Connection::open(url).await?;
            for i in (first..waits).step_by(connections) {
                connection.subscribe(&format!("waits.{i}"))?;
            }
            connection.settle().await?;
            tokio::spawn(receive(connection, sender.clone()));
        }
        Ok(Self {
            waits,
            inbox,
            publisher,
            woken,
        })
    }

    /// Wakes one after the other; a time is from the publication to the message's arrival.
    pub(super) async fn wake(&mut self, times: usize, rate: f64) -> anyhow::Result<Outcome> {
        let (start, mut ticks) = (Instant::now(), pace::ticks(rate));
        let (mut wakes, mut wrong) = (Times::default(), 0.0);
        let value = payload::numbered(0);
        for turn in 1..=times {
            ticks.tick().await;
            let i = turn * WAKE_STEP % self.waits;
            let added = Instant::now();
            self.publisher
                .publish(&format!("waits.{i}"), &self.inbox, &value)?;
            self.publisher.flush().await?;
            let acknowledged = self.publisher.receive(|_, _| Ok(()));
            let (acknowledged, woken) = tokio::join!(acknowledged, self.woken.recv());
            acknowledged?;
            let (which, at) = woken.context("no subscriber is left")?;
            wakes.push(at.duration_since(added));
            wrong += f64::from(u8::from(which != i));
        }
        Ok(Outcome {
            wrong,
            pace: pace::reached(times, rate, start.into()),
            ..keep::outcome(wakes, start)
        })
    }
}

async fn receive(
    mut connection: Connection,
    woken: mpsc::UnboundedSender<(usize, Instant)>,
) -> anyhow::Result<()> {
    loop {
        connection
            .receive(|subject, _| {
                let number = subject.rsplit('.').next().unwrap_or_default();
                Ok(woken.send((number.parse()?, Instant::now()))?)
            })
            .await?;
    }
}
