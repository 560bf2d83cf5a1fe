//! Many subscribers, each of a subject of its own. A stream stores the messages.

use std::time::Instant;

use anyhow::Context;
use tokio::sync::mpsc;

use super::connection::Connection;
use crate::generator::command::Outcome;
use crate::generator::streams::MAXLEN;
use crate::generator::{payload, wakes};

pub(super) struct Waits {
    waits: usize,
    /// The subject of acknowledgements.
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
            connection.round_trip().await?;
            tokio::spawn(receive(connection, sender.clone()));
        }
        Ok(Self {
            waits,
            inbox,
            publisher,
            woken,
        })
    }

    pub(super) async fn wake(&mut self, times: usize, rate: f64) -> anyhow::Result<Outcome> {
        let (publisher, inbox, woken) = (&mut self.publisher, &self.inbox, &mut self.woken);
        let value = payload::numbered(0);
        let wake = async |number: usize| {
            publisher.publish(&format!("waits.{number}"), inbox, &value)?;
            publisher.flush().await?;
            let acknowledged = publisher.receive(|_, _| Ok(()));
            let (acknowledged, woken) = tokio::join!(acknowledged, woken.recv());
            acknowledged?;
            woken.context("no subscriber is left")
        };
        wakes::run(self.waits, times, rate, wake).await
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
