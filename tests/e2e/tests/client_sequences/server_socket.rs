//! The runner's end of the client's socket: messages as JSON values, in either encoding.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, ServerMessage};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Catches hangs: far more than a busy machine needs.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct ServerSocket {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
    received: VecDeque<Value>,
    /// What each subscription was granted, in entries.
    granted: HashMap<u64, u64>,
}

/// What arrives on a socket.
#[derive(Debug)]
pub(crate) enum Received {
    Message(Value),
    Close(u16),
}

impl ServerSocket {
    pub(crate) async fn accept(stream: TcpStream, encoding: Encoding) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        let subprotocol = encoding.subprotocol();
        let mut offered = String::new();
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let choose = |request: &Request, mut response: Response| {
            let offer = request.headers().get(SEC_WEBSOCKET_PROTOCOL);
            if let Some(offer) = offer.and_then(|offer| offer.to_str().ok()) {
                offer.clone_into(&mut offered);
            }
            let chosen = HeaderValue::from_static(subprotocol);
            response
                .headers_mut()
                .insert(SEC_WEBSOCKET_PROTOCOL, chosen);
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, choose).await?;
        ensure!(
            offered.split(',').any(|offer| offer.trim() == subprotocol),
            "the client offers {offered:?}"
        );
        Ok(Self {
            socket,
            encoding,
            received: VecDeque::new(),
            granted: HashMap::new(),
        })
    }

    /// Answers a handshake with an HTTP status.
    pub(crate) async fn refuse(
        mut stream: TcpStream,
        status: u16,
        retry_after: Option<u32>,
    ) -> anyhow::Result<()> {
        let retry_after =
            retry_after.map_or_else(String::new, |after| format!("retry-after: {after}\r\n"));
        let answer = format!(
            "HTTP/1.1 {status} Refused\r\n{retry_after}content-length: 0\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // The client has sent its request, which has to be read before the connection ends.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        Ok(())
    }

    /// Sends messages in one frame.
    pub(crate) async fn send(&mut self, messages: &[Value]) -> anyhow::Result<()> {
        let mut frame = Vec::new();
        for message in messages {
            let line = message.to_string();
            for message in Encoding::Json.messages::<ServerMessage>(line.as_bytes()) {
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
        Ok(self.socket.send(message).await?)
    }

    /// Receives the next message that counts, or the client's close. Answers pings, and adds up
    /// credit.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<Received> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Ok(Received::Message(message));
            }
            if let Some(close) = self.receive_frame().await? {
                return Ok(close);
            }
        }
    }

    /// Receives until a subscription was granted more than this many entries.
    pub(crate) async fn receive_credit(&mut self, id: u64, more_than: u64) -> anyhow::Result<()> {
        while self
            .granted
            .get(&id)
            .is_none_or(|granted| *granted <= more_than)
        {
            ensure!(self.receive_frame().await?.is_none(), "the client closes");
        }
        Ok(())
    }

    /// Fails if a message that counts arrives before the end.
    pub(crate) async fn expect_silence(&mut self) -> anyhow::Result<()> {
        bail!("arrived meanwhile: {:?}", self.receive().await?)
    }

    async fn receive_frame(&mut self) -> anyhow::Result<Option<Received>> {
        let next = tokio::time::timeout(HANG_LIMIT, self.socket.next()).await;
        let frame = match next.context("nothing arrived in time")? {
            Some(Ok(Message::Text(frame))) if self.encoding.is_text() => frame.into(),
            Some(Ok(Message::Binary(frame))) if !self.encoding.is_text() => frame,
            Some(Ok(Message::Close(Some(close)))) => {
                return Ok(Some(Received::Close(close.code.into())));
            }
            other => bail!("neither a frame nor a close arrived: {other:?}"),
        };
        let mut pongs = Vec::new();
        for message in self.encoding.messages::<ClientMessage<'_>>(&frame) {
            let message = message.ok().context("a message cannot be decoded")?;
            match &message {
                ClientMessage::Ping { nonce } => {
                    pongs.push(json!({"pong": {"nonce": nonce}}));
                    continue;
                }
                ClientMessage::Grant { id, credit } => {
                    *self.granted.entry(*id).or_default() += credit.entries;
                    continue;
                }
                ClientMessage::Subscribe { id, credit, .. } => {
                    self.granted.insert(*id, credit.entries);
                }
                _ => {}
            }
            let mut line = Vec::new();
            Encoding::Json.append(&mut line, &message);
            self.received.push_back(serde_json::from_slice(&line)?);
        }
        if !pongs.is_empty() {
            self.send(&pongs).await?;
        }
        Ok(None)
    }

    /// Closes the socket and waits for the client's close.
    pub(crate) async fn close(mut self, code: u16) -> anyhow::Result<()> {
        let reason = "".into();
        let code = code.into();
        self.socket.close(Some(CloseFrame { code, reason })).await?;
        self.finish().await
    }

    /// Waits until the connection has ended, after a close of the client.
    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        let end = async { while let Some(Ok(_)) = self.socket.next().await {} };
        Ok(tokio::time::timeout(HANG_LIMIT, end).await?)
    }

    /// Ends the connection without a close frame.
    pub(crate) fn cut(self) -> anyhow::Result<()> {
        Ok(self.socket.get_ref().set_zero_linger()?)
    }
}
