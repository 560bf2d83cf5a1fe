//! A WebSocket for protocols that are spoken by hand.

use anyhow::{Context, ensure};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// The size that streamgate's client uses: tungstenite clears the buffer at every attempt to read.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// An open socket.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Messages to send with the next flush, in one frame: many messages in one frame make these
    /// protocols fast.
    pub(super) unsent: Vec<u8>,
}

impl Socket {
    pub(super) async fn open(request: impl IntoClientRequest + Unpin) -> anyhow::Result<Self> {
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        let (stream, _) = connect_async_with_config(request, Some(config), true).await?;
        Ok(Self {
            stream,
            unsent: Vec::new(),
        })
    }

    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.unsent.is_empty() {
            let frame = std::mem::take(&mut self.unsent);
            self.stream.send(Message::binary(frame)).await?;
        }
        Ok(())
    }

    /// Waits for a frame.
    pub(super) async fn next(&mut self) -> anyhow::Result<Bytes> {
        data(self.stream.next().await)
    }

    /// Returns a frame if one has arrived.
    pub(super) fn ready(&mut self) -> Option<anyhow::Result<Bytes>> {
        self.stream.next().now_or_never().map(data)
    }
}

fn data(frame: Option<Result<Message, Error>>) -> anyhow::Result<Bytes> {
    let frame = frame.context("the server closed the connection")??;
    ensure!(
        !frame.is_close(),
        "the server closed the connection: {frame:?}"
    );
    if frame.is_binary() {
        Ok(frame.into_data())
    } else {
        // A WebSocket ping, which tungstenite answers.
        Ok(Bytes::new())
    }
}
