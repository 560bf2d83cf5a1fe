//! streamgate's protocol on a bare WebSocket, without its client: what the server gives to one that
//! does no more than write and read messages, as NATS's is here.

use anyhow::{Context, bail, ensure};
use futures_util::{FutureExt, SinkExt, StreamExt};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::Outcome as Answer;
use streamgate_protocol::{ClientMessage, Operation, Reply, ServerMessage};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::order::{Order, Outcome};
use super::slots::{self, Slots};
use super::streams::{MAXLEN, names};
use super::{Generator, READ_BUFFER_BYTES, no_counterpart, payload};

const ENCODING: Encoding = Encoding::Binary;

pub(super) struct Load {
    url: String,
    connections: Vec<Connection>,
}

impl Load {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            connections: Vec::new(),
        }
    }
}

impl Generator for Load {
    async fn perform(&mut self, order: Order) -> anyhow::Result<Outcome> {
        let Order::Add {
            connections,
            depth,
            seconds,
        } = order
        else {
            return no_counterpart(&order);
        };
        for stream in names("bench:adds", connections).split_off(self.connections.len()) {
            let connection = Connection::open(&self.url, stream).await?;
            self.connections.push(connection);
        }
        slots::keep(&mut self.connections[..connections], depth, seconds).await
    }
}

struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    stream: String,
    value: String,
    unsent: Vec<u8>,
}

impl Connection {
    async fn open(url: &str, stream: String) -> anyhow::Result<Self> {
        let mut request = url.into_client_request()?;
        let offer = HeaderValue::from_static(ENCODING.subprotocol());
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offer);
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        let (socket, _) = connect_async_with_config(request, Some(config), true).await?;
        Ok(Self {
            socket,
            stream,
            value: payload::numbered(0),
            unsent: Vec::new(),
        })
    }
}

impl Slots for Connection {
    fn add(&mut self, slot: usize) -> anyhow::Result<()> {
        let operation = Operation::Add {
            stream: (&*self.stream).into(),
            fields: vec![("f".into(), (&*self.value).into())],
            maxlen: Some(MAXLEN as u64),
        };
        let id = slot as u64;
        let request = ClientMessage::Request { id, operation };
        Ok(ENCODING.append(&mut self.unsent, &request)?)
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.unsent.is_empty() {
            let frame = std::mem::take(&mut self.unsent);
            self.socket.send(Message::binary(frame)).await?;
        }
        Ok(())
    }

    async fn receive(&mut self, free: &mut Vec<usize>) -> anyhow::Result<()> {
        let mut next = self.socket.next().await;
        loop {
            take(next, free)?;
            match self.socket.next().now_or_never() {
                Some(more) => next = more,
                None => return Ok(()),
            }
        }
    }
}

fn take(frame: Option<Result<Message, Error>>, free: &mut Vec<usize>) -> anyhow::Result<()> {
    let frame = frame.context("the server closed the connection")??;
    ensure!(!frame.is_close(), "the server closed: {frame:?}");
    for message in ENCODING.messages::<ServerMessage>(&frame.into_data()) {
        match message? {
            ServerMessage::Reply {
                id,
                outcome: Answer::Ok(Reply::Added { .. }),
            } => free.push(usize::try_from(id)?),
            ServerMessage::Welcome(_) => {}
            other => bail!("the server sent {other:?}"),
        }
    }
    Ok(())
}
