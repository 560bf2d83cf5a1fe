//! One connection. What is written goes out with the next flush, in one frame: NATS takes many
//! operations in one, and that is what makes it fast.

use std::io::Write;

use anyhow::{Context, ensure};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::parser::{Operation, Parser};
use crate::generator::READ_BUFFER_BYTES;

pub(super) struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    parser: Parser,
    unsent: Vec<u8>,
    subscriptions: usize,
}

impl Connection {
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        let (socket, _) = connect_async_with_config(url, Some(config), true).await?;
        let mut connection = Self {
            socket,
            parser: Parser::default(),
            unsent: Vec::new(),
            subscriptions: 0,
        };
        let hello = br#"CONNECT {"verbose":false,"pedantic":false,"headers":false,"lang":"rust","version":"0","protocol":1}"#;
        connection.unsent.extend_from_slice(hello);
        connection.unsent.extend_from_slice(b"\r\n");
        connection.settle().await?;
        Ok(connection)
    }

    pub(super) fn subscribe(&mut self, subject: &str) -> anyhow::Result<()> {
        // Of two subscriptions with one number the server drops the second without a word.
        self.subscriptions += 1;
        Ok(write!(
            self.unsent,
            "SUB {subject} {}\r\n",
            self.subscriptions
        )?)
    }

    /// `reply` is where JetStream sends its acknowledgement.
    pub(super) fn publish(
        &mut self,
        subject: &str,
        reply: &str,
        payload: &str,
    ) -> anyhow::Result<()> {
        let size = payload.len();
        Ok(write!(
            self.unsent,
            "PUB {subject} {reply} {size}\r\n{payload}\r\n"
        )?)
    }

    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.unsent.is_empty() {
            let frame = std::mem::take(&mut self.unsent);
            self.socket.send(Message::binary(frame)).await?;
        }
        Ok(())
    }

    /// Sends all, and waits until the server has taken it.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        self.unsent.extend_from_slice(b"PING\r\n");
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

    /// Waits for messages and gives each that has come by then to `take`, with its subject.
    pub(super) async fn receive(
        &mut self,
        mut take: impl FnMut(&str, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.wait().await?;
        loop {
            while let Some(operation) = self.parser.next()? {
                match operation {
                    Operation::Message { subject, payload } => take(subject, payload)?,
                    Operation::Ping => self.unsent.extend_from_slice(b"PONG\r\n"),
                    Operation::Pong => {}
                }
            }
            match self.socket.next().now_or_never() {
                Some(frame) => self.parser.feed(&data(frame)?),
                None => return self.flush().await,
            }
        }
    }

    /// Creates a stream in memory.
    pub(super) async fn create_stream(
        &mut self,
        name: &str,
        subjects: &str,
        max_messages: usize,
    ) -> anyhow::Result<()> {
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
        ensure!(answer.contains("\"config\""), "NATS answered {answer}");
        Ok(())
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let frame = self.socket.next().await;
        self.parser.feed(&data(frame)?);
        Ok(())
    }
}

type Frame = Option<Result<Message, tokio_tungstenite::tungstenite::Error>>;

fn data(frame: Frame) -> anyhow::Result<tokio_tungstenite::tungstenite::Bytes> {
    let frame = frame.context("NATS closed the connection")??;
    ensure!(!frame.is_close(), "NATS closed the connection: {frame:?}");
    if frame.is_binary() {
        Ok(frame.into_data())
    } else {
        // A ping of the WebSocket; tungstenite answers it.
        Ok(Default::default())
    }
}
