//! Publishing with acknowledgement.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;

use super::connection::Connection;
use crate::generator::order::Outcome;
use crate::generator::streams::MAXLEN;
use crate::generator::{keep, payload};
use crate::statistics::Times;

/// A connection with a stream of its own.
pub(super) struct Producer {
    connection: Connection,
    subject: String,
    inbox: String,
}

impl Producer {
    pub(super) async fn start(url: &str, number: usize) -> anyhow::Result<Self> {
        let mut connection = Connection::open(url).await?;
        let (subject, inbox) = (format!("adds.{number}"), format!("acks.{number}"));
        let name = format!("ADDS{number}");
        connection.create_stream(&name, &subject, MAXLEN).await?;
        connection.subscribe(&format!("{inbox}.*"))?;
        connection.settle().await?;
        Ok(Self {
            connection,
            subject,
            inbox,
        })
    }

    async fn keep(&mut self, depth: usize, end: Instant) -> anyhow::Result<Vec<Duration>> {
        let value = payload::numbered(0);
        let replies: Vec<_> = (0..depth).map(|i| format!("{}.{i}", self.inbox)).collect();
        let mut started = vec![Instant::now(); depth];
        let mut times = Vec::new();
        for reply in &replies {
            self.connection.publish(&self.subject, reply, &value)?;
        }
        self.connection.flush().await?;
        let (mut in_flight, mut free) = (depth, Vec::with_capacity(depth));
        while in_flight > 0 {
            self.connection
                .receive(|subject, ack| {
                    ensure!(
                        is_ack(ack),
                        "NATS answered {:?}",
                        String::from_utf8_lossy(ack)
                    );
                    free.push(slot(subject)?);
                    Ok(())
                })
                .await?;
            let now = Instant::now();
            in_flight -= free.len();
            for slot in free.drain(..) {
                times.push(now.duration_since(started[slot]));
                if now < end {
                    started[slot] = now;
                    self.connection
                        .publish(&self.subject, &replies[slot], &value)?;
                    in_flight += 1;
                }
            }
            self.connection.flush().await?;
        }
        Ok(times)
    }
}

/// Keeps so many publications in flight on each connection until the time is over.
pub(super) async fn keep(
    producers: &mut [Producer],
    depth: usize,
    seconds: f64,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds);
    let all = producers
        .iter_mut()
        .map(|producer| producer.keep(depth, end));
    let mut times = Times::default();
    for time in try_join_all(all).await?.into_iter().flatten() {
        times.push(time);
    }
    Ok(keep::outcome(times, start))
}

fn slot(subject: &str) -> anyhow::Result<usize> {
    let number = subject.rsplit('.').next().context("no subject")?;
    Ok(number.parse()?)
}

/// `{"stream":"ADDS0", "seq":1}`, and not `{"error":…`.
fn is_ack(payload: &[u8]) -> bool {
    payload.starts_with(b"{\"stream\"")
}
