//! A message there and back on a bare WebSocket.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::order::{Order, Outcome};
use super::{Generator, READ_BUFFER_BYTES, keep, no_counterpart, payload};
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
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        let opening = connect_async_with_config(&self.url, Some(config), true);
        let (mut socket, _) = opening.await?;
        let value = payload::numbered(0);
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let mut times = Times::default();
        while Instant::now() < end {
            let sent = Instant::now();
            let message = Message::binary(value.clone().into_bytes());
            socket.send(message).await?;
            socket.next().await.context("the echo has ended")??;
            times.push(sent.elapsed());
        }
        Ok(keep::outcome(times, start))
    }
}
