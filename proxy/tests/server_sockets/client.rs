//! A raw WebSocket client: it sends whatever a test gives it, valid or not.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Credit, Hello, Subscription, TailStart, Welcome};
use streamgate_protocol::{CacheResult, ClientMessage, Operation, Reply, ServerMessage, close};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Without an answer for this long, a test fails. Far more than a busy machine needs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct TestClient<S = TcpStream> {
    pub(crate) socket: WebSocketStream<S>,
    encoding: Encoding,
    received: VecDeque<ServerMessage>,
    /// The positions of reads from `$`, with their request ids.
    pub(crate) positions: Vec<(u64, String)>,
    /// Frames received so far.
    pub(crate) frames: usize,
}

impl TestClient {
    /// Connects and says hello.
    pub(crate) async fn connect(address: SocketAddr, encoding: Encoding) -> Self {
        let mut client = Self::connect_silently(address, encoding).await;
        client.send(&[hello()]).await;
        client
    }

    /// Connects without a hello.
    pub(crate) async fn connect_silently(address: SocketAddr, encoding: Encoding) -> Self {
        Self::try_connect(address, encoding).await.unwrap()
    }

    pub(crate) async fn try_connect(
        address: SocketAddr,
        encoding: Encoding,
    ) -> Result<Self, Error> {
        Self::try_connect_within(address, encoding, 80 << 20).await
    }

    /// Connects without a hello. The client's WebSocket refuses larger frames.
    pub(crate) async fn try_connect_within(
        address: SocketAddr,
        encoding: Encoding,
        max_frame_bytes: usize,
    ) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::on_within(stream, encoding, max_frame_bytes).await
    }

    /// Returns the stream below the WebSocket, in two halves.
    pub(crate) fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.socket.into_inner().into_split()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TestClient<S> {
    /// Makes a WebSocket handshake on a stream, without a hello.
    pub(crate) async fn on(stream: S, encoding: Encoding) -> Result<Self, Error> {
        Self::on_within(stream, encoding, 80 << 20).await
    }

    async fn on_within(
        stream: S,
        encoding: Encoding,
        max_frame_bytes: usize,
    ) -> Result<Self, Error> {
        // The path alone counts.
        let mut request = "ws://localhost/v1/ws".into_client_request().unwrap();
        let protocol = HeaderValue::from_static(encoding.subprotocol());
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol.clone());
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_frame_bytes))
            .max_frame_size(Some(max_frame_bytes));
        let (socket, response) =
            tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
        assert_eq!(
            response.headers().get("sec-websocket-protocol"),
            Some(&protocol)
        );
        Ok(Self::over(socket, encoding))
    }

    pub(crate) fn over(socket: WebSocketStream<S>, encoding: Encoding) -> Self {
        Self {
            socket,
            encoding,
            received: VecDeque::new(),
            positions: Vec::new(),
            frames: 0,
        }
    }

    /// Encodes messages as one frame.
    pub(crate) fn frame(&self, messages: &[ClientMessage<'_>]) -> Vec<u8> {
        let mut frame = Vec::new();
        for message in messages {
            self.encoding.append(&mut frame, message);
        }
        frame
    }

    /// Sends messages in one frame.
    pub(crate) async fn send(&mut self, messages: &[ClientMessage<'_>]) {
        let frame = self.frame(messages);
        self.send_bytes(frame).await;
    }

    /// Sends a frame of any content, of the negotiated type.
    pub(crate) async fn send_bytes(&mut self, frame: Vec<u8>) {
        let message = self.message(frame);
        self.socket.send(message).await.unwrap();
    }

    /// Makes a WebSocket message of the negotiated type.
    pub(crate) fn message(&self, frame: Vec<u8>) -> Message {
        if self.encoding.is_text() {
            Message::text(String::from_utf8(frame).unwrap())
        } else {
            Message::binary(frame)
        }
    }

    /// Receives the next message, or how the server closed the socket. Records positions.
    pub(crate) async fn receive(&mut self) -> Result<ServerMessage, Closed> {
        loop {
            match self.received.pop_front() {
                Some(ServerMessage::Position { id, last_id }) => {
                    self.positions.push((id, last_id));
                    continue;
                }
                // A client that is silent on purpose does not answer.
                Some(ServerMessage::Ping { .. }) => continue,
                Some(message) => return Ok(message),
                None => {}
            }
            let next = tokio::time::timeout(TIMEOUT, self.socket.next()).await;
            let frame = match next.expect("no answer in time") {
                Some(Ok(Message::Text(frame))) if self.encoding.is_text() => frame.into(),
                Some(Ok(Message::Binary(frame))) if !self.encoding.is_text() => frame,
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err(Closed {
                        code: frame.code.into(),
                        reason: frame.reason.to_string(),
                    });
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                    return Err(Closed {
                        code: close::ABNORMAL,
                        reason: "the connection ended without a close".to_owned(),
                    });
                }
                other => panic!("neither a frame nor a close: {other:?}"),
            };
            self.frames += 1;
            for message in self.encoding.messages(&frame) {
                self.received.push_back(message.unwrap());
            }
        }
    }

    pub(crate) async fn welcome(&mut self) -> Welcome {
        match self.receive().await.unwrap() {
            ServerMessage::Welcome(welcome) => welcome,
            other => panic!("not a welcome: {other:?}"),
        }
    }

    pub(crate) async fn reply(&mut self) -> (u64, CacheResult<Reply>) {
        match self.receive().await.unwrap() {
            ServerMessage::Reply { id, outcome } => (id, outcome.into()),
            other => panic!("not a reply: {other:?}"),
        }
    }

    /// Receives the next reply, which must be to this request.
    pub(crate) async fn reply_to(&mut self, expected: u64) -> CacheResult<Reply> {
        let (id, result) = self.reply().await;
        assert_eq!(id, expected);
        result
    }

    /// Receives the next reply, which must be an error of this request; returns its code.
    pub(crate) async fn error_code_of(&mut self, expected: u64) -> String {
        self.reply_to(expected).await.unwrap_err().code().to_owned()
    }

    pub(crate) async fn pong(&mut self, nonce: u64) {
        assert_eq!(self.receive().await.unwrap(), ServerMessage::Pong { nonce });
    }

    /// Makes a round trip; no other message may arrive before its end.
    pub(crate) async fn ping(&mut self, nonce: u64) {
        self.send(&[ClientMessage::Ping { nonce }]).await;
        self.pong(nonce).await;
    }

    /// Returns how the server closed the socket; ignores messages before that.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.receive().await {
                return closed;
            }
        }
    }

    /// Closes, and waits for the server's close.
    pub(crate) async fn close(mut self) {
        self.socket.close(None).await.unwrap();
        self.ended().await;
    }

    /// Waits for the orderly end of the connection after a close.
    pub(crate) async fn ended(&mut self) {
        let end = async {
            while let Some(message) = self.socket.next().await {
                message.expect("the server closes in order");
            }
        };
        tokio::time::timeout(TIMEOUT, end)
            .await
            .expect("the server hangs up");
    }
}

/// How the server closed a socket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// A hello of a client that no other test knows.
pub(crate) fn hello() -> ClientMessage<'static> {
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
    let client = format!("client-{number}");
    ClientMessage::Hello(Hello::new(client, u32::MAX))
}

/// A hello of a client with this id.
pub(crate) fn hello_of(id: &str) -> ClientMessage<'_> {
    ClientMessage::Hello(Hello::new(id, u32::MAX))
}

/// A request that any backend answers at once.
pub(crate) fn add<'a>(id: u64, stream: &'a str, value: &'a str) -> ClientMessage<'a> {
    let fields = vec![("f".into(), value.into())];
    request(
        id,
        Operation::Add {
            stream: stream.into(),
            fields,
            maxlen: None,
        },
    )
}

/// A request that waits without a limit.
pub(crate) fn wait(id: u64) -> ClientMessage<'static> {
    wait_for(id, "stream")
}

pub(crate) fn wait_for(id: u64, stream: &str) -> ClientMessage<'_> {
    let (stream, last_id) = (stream.into(), "$".into());
    request(
        id,
        Operation::Read {
            stream,
            last_id,
            count: 0,
            block_ms: Some(0),
        },
    )
}

/// A request whose reply has about this number of bytes.
pub(crate) fn large_read(id: u64, bytes: u64) -> ClientMessage<'static> {
    request(
        id,
        Operation::ReadLatest {
            stream: "large".into(),
            count: bytes,
        },
    )
}

pub(crate) fn request(id: u64, operation: Operation<'_>) -> ClientMessage<'_> {
    ClientMessage::Request { id, operation }
}

/// Subscribes to a tail from now on.
pub(crate) fn tail(id: u64, stream: &str, credit: Credit) -> ClientMessage<'_> {
    let (stream, from) = (stream.into(), TailStart::Now {});
    ClientMessage::Subscribe {
        id,
        subscription: Subscription::Tail { stream, from },
        credit,
    }
}

pub(crate) fn grant(id: u64, entries: u64, bytes: u64) -> ClientMessage<'static> {
    let credit = Credit { entries, bytes };
    ClientMessage::Grant { id, credit }
}
