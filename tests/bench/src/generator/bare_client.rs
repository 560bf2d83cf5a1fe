//! streamgate's protocol on a bare WebSocket, without its client: what the server reaches with a
//! client that only writes and reads messages, as the NATS client here does.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{bail, ensure};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::MAX_SERVER_FRAME_BYTES;
use streamgate_protocol::message::{Hello, Outcome as ReplyOutcome};
use streamgate_protocol::{ClientMessage, Operation, Reply, ServerMessage};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;

use super::command::{Command, Outcome};
use super::pipelined_adds::{self, PipelinedAdder};
use super::socket::Socket;
use super::streams::{MAXLEN, names};
use super::{Generator, payload, unsupported};

const ENCODING: Encoding = Encoding::Binary;

/// The most adds in flight. A request's id is a multiple of this plus a slot.
const MAX_SLOTS: u64 = 1_024;

pub(super) struct BareGenerator {
    /// Of the proxy.
    url: String,
    token: Option<&'static str>,
}

impl BareGenerator {
    pub(super) fn new(url: String, token: Option<&'static str>) -> Self {
        Self { url, token }
    }
}

impl Generator for BareGenerator {
    async fn perform(&mut self, command: Command) -> anyhow::Result<Outcome> {
        let Command::Add {
            connections,
            depth,
            seconds,
        } = command
        else {
            return unsupported(&command);
        };
        // New connections each time: between two commands nothing sends the pings that the server
        // expects.
        let mut opened = Vec::new();
        for stream in names("bench:adds", connections) {
            opened.push(Connection::open(&self.url, self.token, stream).await?);
        }
        pipelined_adds::run(&mut opened, depth, seconds).await
    }
}

struct Connection {
    socket: Socket,
    stream: String,
    value: String,
    /// Adds so far. They make ids unique.
    adds: u64,
}

impl Connection {
    async fn open(url: &str, token: Option<&'static str>, stream: String) -> anyhow::Result<Self> {
        let mut request = url.into_client_request()?;
        let offer = HeaderValue::from_static(ENCODING.subprotocol());
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offer);
        let mut socket = Socket::open(request).await?;
        ENCODING.append(&mut socket.unsent, &ClientMessage::Hello(hello(token)));
        Ok(Self {
            socket,
            stream,
            value: payload::numbered(0),
            adds: 0,
        })
    }
}

impl PipelinedAdder for Connection {
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
        ENCODING.append(&mut self.socket.unsent, &request);
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        self.socket.flush().await
    }

    async fn receive(&mut self, free: &mut Vec<usize>) -> anyhow::Result<()> {
        free_slots(&self.socket.next().await?, free)?;
        while let Some(frame) = self.socket.ready() {
            free_slots(&frame?, free)?;
        }
        Ok(())
    }
}

/// A hello of a client that is like no other.
fn hello(token: Option<&'static str>) -> Hello<'static> {
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
    let client = format!("bench-{}-{number}", std::process::id());
    let mut hello = Hello::new(client, MAX_SERVER_FRAME_BYTES as u32);
    hello.token = token.map(Into::into);
    hello
}

fn free_slots(frame: &[u8], free: &mut Vec<usize>) -> anyhow::Result<()> {
    for message in ENCODING.messages::<ServerMessage>(frame) {
        match message? {
            ServerMessage::Reply {
                id,
                outcome: ReplyOutcome::Ok(Reply::Added { .. }),
            } => free.push(usize::try_from(id % MAX_SLOTS)?),
            ServerMessage::Welcome(_) => {}
            other => bail!("the server sent {other:?}"),
        }
    }
    Ok(())
}
