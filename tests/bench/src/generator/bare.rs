//! streamgate's protocol on a bare WebSocket, without its client: what the server gives to one that
//! does no more than write and read messages, as NATS's client here does.

use anyhow::{bail, ensure};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::Outcome as Answer;
use streamgate_protocol::{ClientMessage, Operation, Reply, ServerMessage};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;

use super::order::{Order, Outcome};
use super::slots::{self, Adder};
use super::socket::Socket;
use super::streams::{MAXLEN, names};
use super::{Generator, no_counterpart, payload};

const ENCODING: Encoding = Encoding::Binary;

/// An id is a multiple of this and a slot.
const MAX_SLOTS: u64 = 1_024;

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
            connections,
            depth,
            seconds,
        } = order
        else {
            return no_counterpart(&order);
        };
        // Anew each time: between two orders nobody would send the pings that the server expects.
        let mut opened = Vec::new();
        for stream in names("bench:adds", connections) {
            opened.push(Connection::open(&self.url, stream).await?);
        }
        slots::keep(&mut opened, depth, seconds).await
    }
}

struct Connection {
    socket: Socket,
    stream: String,
    value: String,
    /// Adds so far, which make the ids new.
    adds: u64,
}

impl Connection {
    async fn open(url: &str, stream: String) -> anyhow::Result<Self> {
        let mut request = url.into_client_request()?;
        let offer = HeaderValue::from_static(ENCODING.subprotocol());
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offer);
        Ok(Self {
            socket: Socket::open(request).await?,
            stream,
            value: payload::numbered(0),
            adds: 0,
        })
    }
}

impl Adder for Connection {
    fn add(&mut self, slot: usize) -> anyhow::Result<()> {
        let slot = slot as u64;
        ensure!(slot < MAX_SLOTS, "too many adds in flight");
        self.adds += 1;
        let request = ClientMessage::Request {
            id: self.adds * MAX_SLOTS + slot,
            operation: Operation::Add {
                stream: (&*self.stream).into(),
                fields: vec![("f".into(), (&*self.value).into())],
                maxlen: Some(MAXLEN as u64),
            },
        };
        Ok(ENCODING.append(&mut self.socket.unsent, &request)?)
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        self.socket.flush().await
    }

    async fn receive(&mut self, free: &mut Vec<usize>) -> anyhow::Result<()> {
        take(&self.socket.next().await?, free)?;
        while let Some(frame) = self.socket.ready() {
            take(&frame?, free)?;
        }
        Ok(())
    }
}

fn take(frame: &[u8], free: &mut Vec<usize>) -> anyhow::Result<()> {
    for message in ENCODING.messages::<ServerMessage>(frame) {
        match message? {
            ServerMessage::Reply {
                id,
                outcome: Answer::Ok(Reply::Added { .. }),
            } => free.push(usize::try_from(id % MAX_SLOTS)?),
            ServerMessage::Welcome(_) => {}
            other => bail!("the server sent {other:?}"),
        }
    }
    Ok(())
}
