//! A WebSocket of the runner: messages as JSON values, in either encoding.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, ServerMessage};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Catches hangs: far more than a busy machine needs.
const HANG_LIMIT: Duration = Duration::from_secs(30);

/// The largest frame that the runner accepts.
const MAX_FRAME: usize = 64 << 20;

pub(crate) struct Socket {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
    received: VecDeque<Value>,
}

/// What arrives on a socket.
#[derive(Debug)]
pub(crate) enum Received {
    Message(Value),
    Close(u16),
}

enum Frame {
    Messages(Bytes),
    Close(u16),
}

impl Socket {
    pub(crate) async fn open(address: SocketAddr, encoding: Encoding) -> anyhow::Result<Self> {
        let mut request = format!("ws://{address}/v1/ws").into_client_request()?;
        let subprotocol = HeaderValue::from_static(encoding.subprotocol());
        request
            .headers_mut()
            .insert("sec-websocket-protocol", subprotocol);
        let stream = TcpStream::connect(address).await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME));
        let handshake =
            tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        Ok(Self {
            socket: handshake?.0,
            encoding,
            received: VecDeque::new(),
        })
    }

    /// Sends messages in one frame.
    pub(crate) async fn send(&mut self, messages: &[Value]) -> anyhow::Result<()> {
        let mut frame = Vec::new();
        for message in messages {
            let line = message.to_string();
            for message in Encoding::Json.messages::<ClientMessage<'_>>(line.as_bytes()) {
                let message = message
                    .ok()
                    .with_context(|| format!("not a message: {line}"))?;
                self.encoding.append(&mut frame, &message);
            }
        }
        self.send_frame(frame, self.encoding.is_text()).await
    }

    pub(crate) async fn send_frame(&mut self, frame: Vec<u8>, text: bool) -> anyhow::Result<()> {
        let message = if text {
            Message::text(String::from_utf8(frame)?)
        } else {
            Message::binary(frame)
        };
        // The server may close before it has read a frame that is too large.
        let _ = self.socket.send(message).await;
        Ok(())
    }

    /// Receives a ping as the next message, and answers it if `answer` is true.
    pub(crate) async fn receive_ping(&mut self, answer: bool) -> anyhow::Result<()> {
        ensure!(self.received.is_empty(), "arrived: {:?}", self.received);
        let Frame::Messages(frame) = self.receive_frame().await? else {
            bail!("a close arrived");
        };
        for message in self.encoding.messages::<ServerMessage>(&frame) {
            let message = message.ok().context("a message cannot be decoded")?;
            let ServerMessage::Ping { nonce } = message else {
                bail!("arrived: {message:?}");
            };
            if answer {
                self.send(&[json!({"pong": {"nonce": nonce}})]).await?;
            }
        }
        Ok(())
    }

    /// Receives the next message, or the server's close. Answers pings; a push of several entries
    /// arrives as one push for each.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<Received> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Ok(Received::Message(message));
            }
            let frame = match self.receive_frame().await? {
                Frame::Messages(frame) => frame,
                Frame::Close(code) => return Ok(Received::Close(code)),
            };
            for message in self.encoding.messages::<ServerMessage>(&frame) {
                let message = message.ok().context("a message cannot be decoded")?;
                if let ServerMessage::Ping { nonce } = message {
                    self.send(&[json!({"pong": {"nonce": nonce}})]).await?;
                    continue;
                }
                let mut line = Vec::new();
                Encoding::Json.append(&mut line, &message);
                self.received.extend(split(serde_json::from_slice(&line)?));
            }
        }
    }

    async fn receive_frame(&mut self) -> anyhow::Result<Frame> {
        let next = tokio::time::timeout(HANG_LIMIT, self.socket.next()).await;
        match next.context("nothing arrived in time")? {
            Some(Ok(Message::Text(frame))) if self.encoding.is_text() => {
                Ok(Frame::Messages(frame.into()))
            }
            Some(Ok(Message::Binary(frame))) if !self.encoding.is_text() => {
                Ok(Frame::Messages(frame))
            }
            Some(Ok(Message::Close(Some(close)))) => Ok(Frame::Close(close.code.into())),
            other => bail!("neither a frame nor a close arrived: {other:?}"),
        }
    }

    pub(crate) async fn close(&mut self, code: u16) -> anyhow::Result<()> {
        let reason = "".into();
        let code = code.into();
        self.socket.close(Some(CloseFrame { code, reason })).await?;
        let end = async { while self.socket.next().await.is_some() {} };
        tokio::time::timeout(HANG_LIMIT, end).await?;
        Ok(())
    }
}

/// Splits a push of several entries, since a server may divide them as it likes. The last one
/// keeps the position.
fn split(message: Value) -> Vec<Value> {
    let entries = message["push"]["item"]["entries"]["entries"].as_array();
    let Some(entries) = entries.filter(|entries| entries.len() > 1) else {
        return vec![message];
    };
    let one = |(number, entry): (usize, &Value)| {
        let mut push = message.clone();
        let item = &mut push["push"]["item"]["entries"];
        item["entries"] = json!([entry]);
        if number + 1 < entries.len() {
            item["position"] = Value::Null;
        }
        push
    };
    entries.iter().enumerate().map(one).collect()
}
