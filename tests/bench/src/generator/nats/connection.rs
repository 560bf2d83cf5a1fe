//! A connection. Written operations are sent with the next flush.

use std::io::Write;

use anyhow::ensure;

use super::parser::{Operation, Parser};
use crate::generator::socket::Socket;

pub(super) struct Connection {
    socket: Socket,
    parser: Parser,
    subscriptions: usize,
}

impl Connection {
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let mut connection = Self {
            socket: Socket::open(url).await?,
            parser: Parser::default(),
            subscriptions: 0,
        };
        let hello = br#"CONNECT {"verbose":false,"pedantic":false,"headers":false,"lang":"rust","version":"0","protocol":1}"#;
        connection.socket.unsent.extend_from_slice(hello);
        connection.socket.unsent.extend_from_slice(b"\r\n");
        connection.round_trip().await?;
        Ok(connection)
    }

    pub(super) fn subscribe(&mut self, subject: &str) -> anyhow::Result<()> {
        // The server silently drops a second subscription with the same number.
        self.subscriptions += 1;
        Ok(write!(
            self.socket.unsent,
            "SUB {subject} {}\r\n",
            self.subscriptions
        )?)
    }

    /// `reply` is the subject of JetStream's acknowledgement.
    pub(super) fn publish(
        &mut self,
        subject: &str,
        reply: &str,
        payload: &str,
    ) -> anyhow::Result<()> {
        let size = payload.len();
        Ok(write!(
            self.socket.unsent,
            "PUB {subject} {reply} {size}\r\n{payload}\r\n"
        )?)
    }

    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        self.socket.flush().await
    }

    /// Sends everything written, and waits until the server has processed it.
    pub(super) async fn round_trip(&mut self) -> anyhow::Result<()> {
        self.socket.unsent.extend_from_slice(b"PING\r\n");
        self.flush().await?;
        let mut pong = false;
        while !pong {
            self.wait().await?;
            while let Some(operation) = self.parser.next()? {
                pong |= operation == Operation::Pong;
            }
        }
        Ok(())
    }

    /// Waits for messages and calls `take` for each that has arrived, with its subject.
    pub(super) async fn receive(
        &mut self,
        mut take: impl FnMut(&str, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.wait().await?;
        loop {
            while let Some(operation) = self.parser.next()? {
                match operation {
                    Operation::Message { subject, payload } => take(subject, payload)?,
                    Operation::Ping => self.socket.unsent.extend_from_slice(b"PONG\r\n"),
                    Operation::Pong => {}
                }
            }
            match self.socket.ready() {
                Some(frame) => self.parser.feed(&frame?),
                None => return self.flush().await,
            }
        }
    }

    /// Creates a stream in memory. Returns the subject of its answer, which it has subscribed to.
    pub(super) async fn create_stream(
        &mut self,
        name: &str,
        subjects: &str,
        max_messages: usize,
    ) -> anyhow::Result<String> {
        let inbox = format!("created.{name}");
        self.subscribe(&inbox)?;
        let wanted = format!(
            r#"{{"name":"{name}","subjects":["{subjects}"],"storage":"memory","retention":"limits","discard":"old","max_msgs":{max_messages},"num_replicas":1}}"#
        );
        self.publish(&format!("$JS.API.STREAM.CREATE.{name}"), &inbox, &wanted)?;
        self.flush().await?;
        let mut answer = String::new();
        while answer.is_empty() {
            self.receive(|_, payload| {
                answer = String::from_utf8_lossy(payload).into_owned();
                Ok(())
            })
            .await?;
        }
        ensure!(
            answer.contains("\"config\""),
            "NATS refused the stream {name}: {answer}"
        );
        Ok(inbox)
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        self.parser.feed(&self.socket.next().await?);
        Ok(())
    }
}
