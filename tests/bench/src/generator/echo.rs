//! A message there and back on a bare WebSocket.

use std::time::{Duration, Instant};

use super::order::{Order, Outcome};
use super::socket::Socket;
use super::{Generator, keep, no_counterpart, payload};
use crate::statistics::Times;

pub(super) struct Load {
    url: String,
}

impl Load {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
        }
    }
}

impl Generator for Load {
    async fn perform(&mut self, order: Order) -> anyhow::Result<Outcome> {
        let Order::Add {
            connections: 1,
            depth: 1,
            seconds,
        } = order
        else {
            return no_counterpart(&order);
        };
        let mut socket = Socket::open(&self.url).await?;
        let value = payload::numbered(0);
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let mut times = Times::default();
        while Instant::now() < end {
            let sent = Instant::now();
            socket.unsent.extend_from_slice(value.as_bytes());
            socket.flush().await?;
            socket.next().await?;
            times.push(sent.elapsed());
        }
        Ok(keep::outcome(times, start))
    }
}
