//! A scripted server, behind a socket without a network.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use streamgate_client::internals::{self, ClientId, Clock, Connector, Socket, SocketEvent};
use streamgate_client::{Client, ClientConfig, Encoding, Entry};
use streamgate_protocol::message::{Item, Welcome};
use streamgate_protocol::{ClientMessage, ServerMessage};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep_until};

type Event = SocketEvent<Vec<u8>>;

/// The server's end of the first connection. Further attempts to connect get no answer.
pub(crate) struct ScriptedServer {
    driver: JoinHandle<()>,
    events: mpsc::UnboundedSender<Event>,
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    read: Vec<ClientMessage<'static>>,
}

/// A client whose driver runs on this runtime, and its server.
pub(crate) async fn connected(config: ClientConfig) -> (Client, ScriptedServer) {
    let (events, receiver) = mpsc::unbounded_channel();
    let (sender, frames) = mpsc::unbounded_channel();
    let socket = ScriptedSocket {
        events: receiver,
        frames: sender,
    };
    let clock = PausedClock(Instant::now());
    let connector = ScriptedConnector(Some(socket));
    let client_id = ClientId::from_random([7; 16]);
    let (client, driver) = internals::client_and_driver(&client_id, config, connector, clock);
    let driver = tokio::spawn(driver);
    let subprotocol = Encoding::Binary.subprotocol().to_owned();
    events.send(SocketEvent::Opened { subprotocol }).unwrap();
    let mut server = ScriptedServer {
        driver,
        events,
        frames,
        read: vec![],
    };
    server.send(&ServerMessage::Welcome(Welcome::new(
        "scripted",
        1_000,
        16 << 20,
        u32::MAX,
    )));
    client.ready().await.unwrap();
    (client, server)
}

impl ScriptedServer {
    pub(crate) fn send(&mut self, message: &ServerMessage) {
        let mut payload = Vec::new();
        Encoding::Binary.append(&mut payload, message);
        let is_text = false;
        self.events
            .send(SocketEvent::Frame { payload, is_text })
            .unwrap();
    }

    pub(crate) fn push(&mut self, id: u64, item: Item) {
        self.send(&ServerMessage::Push { id, item });
    }

    /// Pushes entries with these ids.
    pub(crate) fn push_entries(&mut self, id: u64, ids: &[&str]) {
        let entries = ids.iter().map(|id| entry(id)).collect();
        let position = None;
        self.push(id, Item::Entries { entries, position });
    }

    /// Receives the client's next message after its hello.
    pub(crate) async fn next(&mut self) -> ClientMessage<'static> {
        while self.read.is_empty() {
            let frame = self.frames.recv().await.expect("the client is there");
            let messages = Encoding::Binary.messages::<ClientMessage<'_>>(&frame);
            let messages = messages
                .map(Result::unwrap)
                .filter(|message| !matches!(message, ClientMessage::Hello(_)));
            self.read.extend(messages.map(owned));
        }
        self.read.remove(0)
    }

    /// Receives the next message, a subscribe, and returns its id.
    pub(crate) async fn next_subscribe(&mut self) -> u64 {
        match self.next().await {
            ClientMessage::Subscribe { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    /// Drops the client's driver, as the end of its runtime does.
    pub(crate) async fn drop_driver(self) {
        self.driver.abort();
        let _ = self.driver.await;
    }

    pub(crate) fn lose_connection(&mut self) {
        let (code, reason) = (1006, String::new());
        self.events
            .send(SocketEvent::Closed {
                code,
                reason,
                retry_after_ms: 0,
            })
            .unwrap();
    }
}

pub(crate) fn entry(id: &str) -> Entry {
    Entry::new(id, [("f", "v")])
}

fn owned(message: ClientMessage<'_>) -> ClientMessage<'static> {
    match message {
        ClientMessage::Request { id, operation } => ClientMessage::Request {
            id,
            operation: operation.into_owned(),
        },
        ClientMessage::Subscribe {
            id,
            subscription,
            credit,
        } => ClientMessage::Subscribe {
            id,
            subscription: subscription.into_owned(),
            credit,
        },
        ClientMessage::Cancel { id } => ClientMessage::Cancel { id },
        ClientMessage::Grant { id, credit } => ClientMessage::Grant { id, credit },
        ClientMessage::Ping { nonce } => ClientMessage::Ping { nonce },
        other => panic!("unknown message {other:?}"),
    }
}

struct ScriptedConnector(Option<ScriptedSocket>);

struct ScriptedSocket {
    events: mpsc::UnboundedReceiver<Event>,
    frames: mpsc::UnboundedSender<Vec<u8>>,
}

impl ScriptedSocket {
    /// A socket on which nothing ever happens.
    fn unanswered() -> Self {
        let (_, events) = mpsc::unbounded_channel();
        let (frames, _) = mpsc::unbounded_channel();
        Self { events, frames }
    }
}

impl Connector for ScriptedConnector {
    type Socket = ScriptedSocket;

    fn connect(&mut self, _subprotocol: &'static str) -> ScriptedSocket {
        self.0.take().unwrap_or_else(ScriptedSocket::unanswered)
    }
}

impl Socket for ScriptedSocket {
    type Payload = Vec<u8>;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        match self.events.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn send(&mut self, frame: Vec<u8>, _is_text: bool) {
        let _ = self.frames.send(frame);
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn close(&mut self, _code: u16, _reason: &str) {}
}

struct PausedClock(Instant);

impl Clock for PausedClock {
    type Sleep = Pin<Box<Sleep>>;

    fn now(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    fn sleep_until(&self, deadline: u64) -> Self::Sleep {
        Box::pin(sleep_until(self.0 + Duration::from_millis(deadline)))
    }
}

/// Compiles only for a value that may move to another thread.
pub(crate) fn assert_send<T: Send + 'static>(value: T) -> T {
    value
}

/// Polls a future once, and returns whether it is pending.
pub(crate) fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    Pin::new(future).poll(&mut cx).is_pending()
}
