//! Round trips of a message on a bare WebSocket.

use std::time::{Duration, Instant};

use super::command::{Command, Outcome};
use super::socket::Socket;
use super::{Generator, closed_loop, payload, unsupported};
use crate::statistics::Times;

/// With the URL of the echo server.
pub(super) struct EchoGenerator(pub(super) String);

impl Generator for EchoGenerator {
    async fn perform(&mut self, command: Command) -> anyhow::Result<Outcome> {
        let Command::Add {
            connections: 1,
            depth: 1,
            seconds,
        } = command
        else {
            return unsupported(&command);
        };
        let mut socket = Socket::open(&self.0).await?;
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
        Ok(closed_loop::outcome(times, start))
    }
}
