//! A session that a test drives by hand, in paused time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, LocalBoxFuture, select};
use futures_util::{SinkExt, StreamExt};
use streamgate_backend::memory_budget::{MemoryKind, MemoryShare};
use streamgate_backend::{PerformOptions, Progress};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::{HEARTBEATS_UNTIL_DEAD, MAX_MESSAGE_ID};
use streamgate_protocol::message::{Hello, Outcome};
use streamgate_protocol::{
    CacheResult, ClientMessage, Operation, PerformOperation, Reply, ServerMessage, StreamingBackend,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::time::advance;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::address_key::AddressKey;
use crate::config::MAX_PERIOD;
use crate::server::Server;
use crate::session::graceful_close::FINISH_TIMEOUT;
use crate::socket::{MESSAGE_GRACE, MIN_BYTES_PER_SECOND};

mod large_requests;
mod unknown_key;

const ENCODING: Encoding = Encoding::Binary;

const MAX_FRAME_BYTES: u32 = 1 << 20;

/// A client that has said hello, and its session, which runs only while it is polled.
async fn connect(
    server: &Server,
    buffer_bytes: usize,
) -> (WebSocketStream<DuplexStream>, LocalBoxFuture<'_, ()>) {
    connect_from(server, buffer_bytes, None).await
}

/// As [`connect`], from an address.
async fn connect_from(
    server: &Server,
    buffer_bytes: usize,
    peer: Option<SocketAddr>,
) -> (WebSocketStream<DuplexStream>, LocalBoxFuture<'_, ()>) {
    let (near, far) = duplex(buffer_bytes);
    let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let socket = ServerSocket::new(far, ENCODING, MAX_FRAME_BYTES).await;
    let mut session: LocalBoxFuture<'_, ()> =
        Box::pin(run(&server.state, socket, peer, Opening::default()));
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    let id = format!("client-{}", CLIENTS.fetch_add(1, Ordering::Relaxed));
    let hello = ClientMessage::Hello(Hello::new(id, u32::MAX));
    beside(&mut session, send(&mut client, hello)).await;
    (client, session)
}

fn server(config: Config) -> Server {
    Server::new(Arc::new(MemoryStreams::new()), config).unwrap()
}

fn heartbeat(config: &Config) -> Duration {
    Duration::from_millis(config.heartbeat_ms.into())
}

/// A config with which no client is ever silent for too long.
fn without_heartbeat() -> Config {
    let longest = u32::try_from(MAX_PERIOD.as_millis()).unwrap();
    Config::default().heartbeat_ms(longest)
}

/// A backend that never finishes an operation.
struct StuckBackend;

impl PerformOperation for StuckBackend {
    async fn perform_operation<'a>(&'a self, _: Operation<'a>) -> CacheResult<Reply> {
        std::future::pending().await
    }
}

impl Backend for StuckBackend {}

/// A backend whose operations take further round trips, which end once the gate opens.
struct ContinuingBackend {
    begun: Arc<AtomicU64>,
    gate: Arc<Semaphore>,
}

impl PerformOperation for ContinuingBackend {
    async fn perform_operation<'a>(&'a self, _: Operation<'a>) -> CacheResult<Reply> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let _permit = self.gate.acquire().await.unwrap();
        Ok(Reply::entries(Vec::new()))
    }
}

impl Backend for ContinuingBackend {
    fn perform<'a>(
        &'a self,
        operations: Vec<Operation<'_>>,
        _limits: PerformOptions,
    ) -> BoxFuture<'a, Vec<Progress<'a>>> {
        let operations = operations.into_iter().map(Operation::into_owned);
        let begin = |operation| {
            let mut future = self.perform_operation(operation).boxed();
            match (&mut future).now_or_never() {
                Some(result) => Progress::Done(result),
                None => Progress::continuing(future),
            }
        };
        let progress = operations.map(begin).collect();
        async { progress }.boxed()
    }
}

/// Serves a [`ContinuingBackend`]; returns how many operations have begun, and the gate.
fn continuing_server(config: Config) -> (Server, Arc<AtomicU64>, Arc<Semaphore>) {
    let (begun, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
    let backend = ContinuingBackend {
        begun: Arc::clone(&begun),
        gate: Arc::clone(&gate),
    };
    let server = Server::new(Arc::new(backend), config).unwrap();
    (server, begun, gate)
}

fn read_pending(id: u64) -> ClientMessage<'static> {
    let operation = Operation::ReadPending {
        stream: "s".into(),
        group: "g".into(),
        consumer: "c".into(),
        after: "0-0".into(),
        count: 0,
        except: Vec::new(),
    };
    ClientMessage::Request { id, operation }
}

/// Receives the next message of the session.
async fn next_message(client: &mut WebSocketStream<DuplexStream>) -> ServerMessage {
    let frame = client.next().await.unwrap().unwrap();
    assert!(frame.is_binary(), "{frame:?}");
    let frame = frame.into_data();
    let message = ENCODING.messages(&frame).next().unwrap();
    message.unwrap()
}

async fn send(client: &mut WebSocketStream<DuplexStream>, message: ClientMessage<'_>) {
    let mut frame = Vec::new();
    ENCODING.append(&mut frame, &message);
    client.send(Message::binary(frame)).await.unwrap();
}

/// Runs a client beside its session, which must not end before the client does.
async fn beside<T>(session: &mut LocalBoxFuture<'_, ()>, client: impl Future<Output = T>) -> T {
    match select(session, pin!(client)).await {
        Either::Left(((), _)) => panic!("the session has ended"),
        Either::Right((value, _)) => value,
    }
}

/// Reads until the session closes the socket, and hangs up; returns the close code, and when it
/// arrived.
async fn closed(mut client: WebSocketStream<DuplexStream>) -> (u16, Instant) {
    let mut closed = None;
    while let Some(message) = client.next().await {
        if let Message::Close(Some(frame)) = message.unwrap() {
            closed = Some((frame.code.into(), Instant::now()));
        }
    }
    closed.unwrap()
}

/// As after a process was stopped, or a machine slept.
#[tokio::test(start_paused = true)]
async fn a_client_that_sent_while_the_server_was_suspended_is_alive() {
    let config = Config::default();
    let suspended = 10 * HEARTBEATS_UNTIL_DEAD * heartbeat(&config);
    let server = server(config);
    let (mut client, mut session) = connect(&server, 1024).await;
    assert!(session.as_mut().now_or_never().is_none());
    let welcome = next_message(&mut client).await;
    assert!(matches!(welcome, ServerMessage::Welcome(_)));
    send(&mut client, ClientMessage::Ping { nonce: 7 }).await;
    advance(suspended).await;
    let answer = beside(&mut session, next_message(&mut client)).await;
    assert_eq!(answer, ServerMessage::Pong { nonce: 7 });
    // The client is silent from now on, so the session closes.
    let start = Instant::now();
    let ((code, _), ()) = tokio::join!(closed(client), session);
    assert_eq!(code, close::HEARTBEAT_MISSED);
    assert!(start.elapsed() > suspended / 20 && start.elapsed() < suspended);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_within_two_heartbeats_is_not_silent() {
    let config = Config::default();
    let pause = heartbeat(&config) * HEARTBEATS_UNTIL_DEAD * 9 / 10;
    let server = server(config);
    let (mut client, mut session) = connect(&server, 1024).await;
    let pings = async {
        next_message(&mut client).await;
        for nonce in 1..12 {
            tokio::time::sleep(pause).await;
            send(&mut client, ClientMessage::Ping { nonce }).await;
            let ping = next_message(&mut client).await;
            assert_eq!(ping, ServerMessage::Ping { nonce });
            let pong = next_message(&mut client).await;
            assert_eq!(pong, ServerMessage::Pong { nonce });
        }
    };
    beside(&mut session, pings).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_once_and_lives_as_long_as_it_answers() {
    let config = Config::default();
    let heartbeat = heartbeat(&config);
    let server = server(config);
    let (mut client, mut session) = connect(&server, 1024).await;
    let start = Instant::now();
    let answers = async {
        next_message(&mut client).await;
        for nonce in 1..12 {
            let ping = next_message(&mut client).await;
            assert_eq!(ping, ServerMessage::Ping { nonce });
            send(&mut client, ClientMessage::Pong { nonce }).await;
        }
    };
    beside(&mut session, answers).await;
    assert_eq!(start.elapsed().as_secs(), 11 * heartbeat.as_secs());
    // It answers no more.
    let last = async {
        let ping = next_message(&mut client).await;
        assert_eq!(ping, ServerMessage::Ping { nonce: 12 });
        closed(client).await
    };
    let ((code, at), ()) = tokio::join!(last, session);
    assert_eq!(code, close::HEARTBEAT_MISSED);
    assert_eq!((at - start).as_secs(), 13 * heartbeat.as_secs());
}

/// Sends the head of a masked binary frame, and returns when each further byte takes `pace`.
async fn send_slowly(client: &mut WebSocketStream<DuplexStream>, payload: &[u8], pace: Duration) {
    let stream = client.get_mut();
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    // Final and binary; masked with zeros, and 16 bits of length.
    let head = [0x82, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
    stream.write_all(&head).await.unwrap();
    for byte in payload {
        tokio::time::sleep(pace).await;
        stream.write_all(&[*byte]).await.unwrap();
    }
}

fn frame_of(messages: &[ClientMessage<'_>]) -> Vec<u8> {
    let mut frame = Vec::new();
    for message in messages {
        ENCODING.append(&mut frame, message);
    }
    frame
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_takes_long_because_it_is_large_keeps_the_client_alive() {
    let config = Config::default();
    let max_silence = heartbeat(&config) * HEARTBEATS_UNTIL_DEAD;
    let server = server(config);
    let (mut client, mut session) = connect(&server, 1024).await;
    // Twice the lowest rate.
    let pace = Duration::from_secs(1) / (2 * MIN_BYTES_PER_SECOND as u32);
    let ping = ClientMessage::Ping {
        nonce: MAX_MESSAGE_ID,
    };
    let frame = frame_of(&vec![ping; 5_000]);
    assert!(
        pace * frame.len() as u32 > max_silence / 2,
        "the frame is too small"
    );
    let exchange = async {
        next_message(&mut client).await;
        send_slowly(&mut client, &frame, pace * 2 * 9 / 10).await;
        loop {
            match next_message(&mut client).await {
                ServerMessage::Ping { .. } => {}
                other => break other,
            }
        }
    };
    let pong = beside(&mut session, exchange).await;
    let nonce = MAX_MESSAGE_ID;
    assert_eq!(pong, ServerMessage::Pong { nonce });
}

/// Its own ping waits behind the frame, so only the server can show that it is there.
#[tokio::test(start_paused = true)]
async fn a_client_whose_frame_is_arriving_hears_the_server_twice_in_a_heartbeat() {
    let config = Config::default();
    let heartbeat = heartbeat(&config);
    let server = server(config);
    let (mut client, mut session) = connect(&server, 1 << 20).await;
    let start = Instant::now();
    let mut head = vec![0x82, 0x80 | 127];
    head.extend(u64::from(MAX_FRAME_BYTES).to_be_bytes());
    head.extend([0; 4]);
    let upload = async {
        next_message(&mut client).await;
        client.get_mut().write_all(&head).await.unwrap();
        let mut heard = vec![Instant::now()];
        while start.elapsed() < 10 * heartbeat {
            let second = [0; 4 * MIN_BYTES_PER_SECOND as usize];
            client.get_mut().write_all(&second).await.unwrap();
            let next = tokio::time::timeout(Duration::from_secs(1), next_message(&mut client));
            match next.await {
                Ok(ServerMessage::Ping { .. }) => heard.push(Instant::now()),
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            }
        }
        heard
    };
    let heard = beside(&mut session, upload).await;
    // A timer that was set before the frame began may fire a heartbeat after it was set.
    assert!(heard.len() >= 19, "{} pings", heard.len());
    let longest = heard.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(
        longest.is_some_and(|pause| pause <= heartbeat),
        "{longest:?}"
    );
    let later = heard[2..].windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(
        later.is_some_and(|pause| pause <= heartbeat / 2),
        "{later:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_arrives_byte_by_byte_does_not_keep_the_client_alive() {
    let config = Config::default();
    let max_silence = heartbeat(&config) * HEARTBEATS_UNTIL_DEAD;
    let server = server(config);
    let (mut client, session) = connect(&server, 1024).await;
    let start = Instant::now();
    let trickle = async {
        next_message(&mut client).await;
        // A burst first: what it grants is used up no later than a silent client's time.
        let stream = client.get_mut();
        let head = [0x82, 0x80 | 126, 0xff, 0xff, 0, 0, 0, 0];
        stream.write_all(&head).await.unwrap();
        stream.write_all(&[0; 60_000]).await.unwrap();
        while stream.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    select(session, pin!(trickle)).await;
    let took = start.elapsed();
    assert!(took >= max_silence, "{took:?}");
    assert!(
        took < max_silence + CLOSE_TIMEOUT + Duration::from_secs(2),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_message_has_a_deadline_although_it_keeps_arriving() {
    let config = Config::default();
    let max_silence = heartbeat(&config) * HEARTBEATS_UNTIL_DEAD;
    let server = server(config);
    let (mut client, session) = connect(&server, 1 << 20).await;
    let start = Instant::now();
    let trickle = async {
        next_message(&mut client).await;
        let stream = client.get_mut();
        let mut head = vec![0x82, 0x80 | 127];
        head.extend(u64::from(MAX_FRAME_BYTES).to_be_bytes());
        head.extend([0; 4]);
        stream.write_all(&head).await.unwrap();
        // Fast enough not to be silent.
        let second = [0; MIN_BYTES_PER_SECOND as usize * 3 / 2];
        while stream.write_all(&second).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    select(session, pin!(trickle)).await;
    let took = start.elapsed();
    assert!(took >= max_silence + MESSAGE_GRACE, "{took:?}");
    assert!(took < 2 * (max_silence + MESSAGE_GRACE), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_silent_while_the_session_does_not_read() {
    const MAX_READS: usize = limits::MAX_PERFORMING_BYTES / limits::READ_REPLY_BYTES;
    let config = Config::default();
    let silence = heartbeat(&config) * HEARTBEATS_UNTIL_DEAD * 10;
    let server = Server::new(Arc::new(StuckBackend), config).unwrap();
    let (mut client, mut session) = connect(&server, 1024).await;
    let read_and_wait = async {
        next_message(&mut client).await;
        for id in 0..MAX_READS as u64 {
            let operation = Operation::ReadLatest {
                stream: "s".into(),
                count: 1,
            };
            send(&mut client, ClientMessage::Request { id, operation }).await;
        }
        tokio::time::sleep(silence).await;
    };
    beside(&mut session, read_and_wait).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_not_closed() {
    const REPLY_BYTES: usize = 512 << 10;
    const PIECE_BYTES: usize = 8 << 10;
    let config = without_heartbeat();
    let write_timeout = config.write_timeout;
    let server = server(config);
    let (mut client, mut session) = connect(&server, PIECE_BYTES).await;
    let value = "x".repeat(REPLY_BYTES);
    let add_and_read = [
        Operation::Add {
            stream: "s".into(),
            fields: vec![("f".into(), value.as_str().into())],
            maxlen: None,
        },
        Operation::ReadLatest {
            stream: "s".into(),
            count: 1,
        },
    ];
    let read_slowly = async {
        next_message(&mut client).await;
        for (id, operation) in (1..).zip(add_and_read) {
            send(&mut client, ClientMessage::Request { id, operation }).await;
        }
        next_message(&mut client).await;
        // Below the frames: a piece at a time, each just within the timeout.
        let start = Instant::now();
        let (mut taken, mut piece) = (0, vec![0; PIECE_BYTES]);
        while taken < REPLY_BYTES / 2 {
            tokio::time::sleep(write_timeout * 9 / 10).await;
            let read = client.get_mut().read(&mut piece).await.unwrap();
            assert!(read > 0, "closed after {taken} bytes");
            taken += read;
        }
        assert!(start.elapsed() > write_timeout * 10);
    };
    beside(&mut session, read_slowly).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_closed_after_the_write_timeout() {
    let config = without_heartbeat();
    let write_timeout = config.write_timeout;
    let server = server(config);
    // Too little room even for the welcome.
    let (client, session) = connect(&server, 1).await;
    let start = Instant::now();
    session.await;
    assert_eq!(start.elapsed(), write_timeout + CLOSE_TIMEOUT);
    drop(client);
}

/// Its connection is half-open, and the frames that it does not read leave no room to read others.
#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_keeps_its_place_in_a_group_for_two_heartbeats() {
    let config = Config::default().heartbeat_ms(1_000);
    let max_silence = heartbeat(&config) * HEARTBEATS_UNTIL_DEAD;
    let write_timeout = config.write_timeout;
    let streams = MemoryStreams::new();
    streams.stream_create_group("s", "g", "$").await.unwrap();
    let value = "x".repeat(512 << 10);
    let fields = vec![("f".to_owned(), value)];
    streams.stream_add("large", fields, None).await.unwrap();
    let server = Server::new(Arc::new(streams), config).unwrap();
    let read_group = Operation::ReadGroup {
        stream: "s".into(),
        group: "g".into(),
        consumer: "c".into(),
        count: 1,
        block_ms: Some(0),
    };
    for receives in [true, false] {
        let (mut client, mut session) = connect(&server, 1024).await;
        let sends = async {
            next_message(&mut client).await;
            if receives {
                let operation = read_group.clone();
                send(&mut client, ClientMessage::Request { id: 1, operation }).await;
            }
            for id in 2..8 {
                let operation = Operation::ReadLatest {
                    stream: "large".into(),
                    count: 1,
                };
                send(&mut client, ClientMessage::Request { id, operation }).await;
            }
        };
        beside(&mut session, sends).await;
        let start = Instant::now();
        session.await;
        let timeout = if receives { max_silence } else { write_timeout };
        assert_eq!(start.elapsed(), timeout + CLOSE_TIMEOUT);
        drop(client);
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_served_until_its_close_time() {
    const DRAIN_PERIOD: Duration = Duration::from_secs(10);
    let server = server(without_heartbeat().drain_period(DRAIN_PERIOD));
    let (first_client, mut first_session) = connect(&server, 1024).await;
    let (mut second_client, mut second_session) = connect(&server, 1024).await;
    let start = Instant::now();
    assert!(server.state.shutdown.begin(2));
    // The session that is polled first closes first.
    let first_close = closed(first_client);
    let (first_closed, ()) = tokio::join!(first_close, &mut first_session);
    assert_eq!(first_closed, (close::GOING_AWAY, start));
    let ping = async {
        next_message(&mut second_client).await;
        send(&mut second_client, ClientMessage::Ping { nonce: 7 }).await;
        next_message(&mut second_client).await
    };
    let pong = beside(&mut second_session, ping).await;
    assert_eq!(pong, ServerMessage::Pong { nonce: 7 });
    let (closed, ()) = tokio::join!(closed(second_client), second_session);
    assert_eq!(closed, (close::GOING_AWAY, start + DRAIN_PERIOD / 2));
}

#[tokio::test(start_paused = true)]
async fn a_closing_session_does_not_wait_for_operations_that_never_end() {
    let config = Config::default().drain_period(Duration::ZERO);
    let server = Server::new(Arc::new(StuckBackend), config).unwrap();
    let (mut client, mut session) = connect(&server, 1024).await;
    let operation = Operation::ReadLatest {
        stream: "s".into(),
        count: 1,
    };
    let request = ClientMessage::Request { id: 1, operation };
    let ping = async {
        next_message(&mut client).await;
        send(&mut client, request).await;
        send(&mut client, ClientMessage::Ping { nonce: 7 }).await;
        next_message(&mut client).await
    };
    let pong = beside(&mut session, ping).await;
    assert_eq!(pong, ServerMessage::Pong { nonce: 7 });
    let start = Instant::now();
    assert!(server.state.shutdown.begin(1));
    let (closed, ()) = tokio::join!(closed(client), session);
    assert_eq!(closed, (close::GOING_AWAY, start + FINISH_TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn operations_that_take_further_round_trips_are_bounded_in_bytes_until_they_end() {
    const READS: u64 = 200;
    const MAX_READS: usize = limits::MAX_PERFORMING_BYTES / limits::READ_REPLY_BYTES;
    let (server, begun, gate) = continuing_server(without_heartbeat());
    let (mut client, mut session) = connect(&server, 1 << 20).await;
    let sends = async {
        next_message(&mut client).await;
        for id in 0..READS {
            send(&mut client, read_pending(id)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    beside(&mut session, sends).await;
    let begun_at_once = begun.load(Ordering::Relaxed);
    assert!(begun_at_once <= MAX_READS as u64, "{begun_at_once} at once");
    gate.add_permits(1);
    let mut replies = 0;
    let receive = async {
        while replies < READS {
            let frame = client.next().await.unwrap().unwrap().into_data();
            let messages = ENCODING.messages::<ServerMessage>(&frame);
            replies += messages.filter(|it| it.is_ok()).count() as u64;
        }
    };
    beside(&mut session, receive).await;
    assert_eq!(begun.load(Ordering::Relaxed), READS);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_answers_operations_that_take_further_round_trips() {
    let config = without_heartbeat().drain_period(Duration::ZERO);
    let (server, begun, gate) = continuing_server(config);
    let (mut client, mut session) = connect(&server, 1024).await;
    let sends = async {
        next_message(&mut client).await;
        send(&mut client, read_pending(1)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    beside(&mut session, sends).await;
    assert_eq!(begun.load(Ordering::Relaxed), 1);
    assert!(server.state.shutdown.begin(1));
    let receive = async {
        tokio::time::sleep(FINISH_TIMEOUT / 2).await;
        gate.add_permits(1);
        let reply = next_message(&mut client).await;
        assert!(
            matches!(reply, ServerMessage::Reply { id: 1, .. }),
            "{reply:?}"
        );
        closed(client).await
    };
    let ((code, _), ()) = tokio::join!(receive, session);
    assert_eq!(code, close::GOING_AWAY);
}

#[tokio::test(start_paused = true)]
async fn waits_count_for_the_address_of_a_client_and_not_for_that_of_a_proxy() {
    let [client, proxy] = ["192.0.2.1:1", "10.0.0.1:1"].map(|a| a.parse::<SocketAddr>().unwrap());
    let server = server(without_heartbeat().trusted_proxy(proxy.ip()));
    for (peer, expected) in [(Some(client), 1), (Some(proxy), 0), (None, 0)] {
        let (mut client, mut session) = connect_from(&server, 1 << 20, peer).await;
        beside(&mut session, async {
            let operation = Operation::Read {
                stream: "s".into(),
                last_id: "$".into(),
                count: 1,
                block_ms: Some(0),
            };
            send(&mut client, ClientMessage::Request { id: 1, operation }).await;
            send(&mut client, ClientMessage::Ping { nonce: 1 }).await;
            while !matches!(next_message(&mut client).await, ServerMessage::Pong { .. }) {}
        })
        .await;
        let address = AddressKey::of(peer.unwrap_or(proxy));
        let waits = server.state.waits.held_by(ShareKey::Address(address));
        assert_eq!(waits, expected, "{peer:?}");
    }
}

/// Sends the beginning of a large frame, below the WebSocket.
async fn begin_large_frame(client: &mut WebSocketStream<DuplexStream>, bytes: usize) {
    // Final, binary, masked with zeros, and as large as a frame may be.
    let mut head = vec![0x82, 0x80 | 127];
    head.extend(u64::from(MAX_FRAME_BYTES).to_be_bytes());
    head.extend([0; 4]);
    head.resize(head.len() + bytes, 0);
    client.get_mut().write_all(&head).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_its_close_the_server_buffers_no_frame() {
    let server = server(without_heartbeat());
    let (mut client, mut session) = connect(&server, 1 << 20).await;
    beside(&mut session, async {
        next_message(&mut client).await;
        // A violation, which the client does not read, and after it a frame.
        client.send(Message::text("{}")).await.unwrap();
        begin_large_frame(&mut client, 8 << 10).await;
    })
    .await;
    let rest = async {
        let frame = client.next().await.unwrap().unwrap();
        assert!(frame.is_close(), "{frame:?}");
        let mut end = Vec::new();
        // The server hangs up, and discards what comes after that.
        client.get_mut().read_to_end(&mut end).await.unwrap();
        client.get_mut().write_all(&[0; 8 << 10]).await.unwrap();
    };
    let began = Instant::now();
    beside(&mut session, rest).await;
    assert_eq!(began, Instant::now(), "it awaits no close frame");
}

#[tokio::test(start_paused = true)]
async fn an_evicted_session_gives_up_an_unfinished_message_and_says_why() {
    let server = server(without_heartbeat());
    let (mut client, mut session) = connect(&server, 1 << 20).await;
    beside(&mut session, async {
        next_message(&mut client).await;
        begin_large_frame(&mut client, 512 << 10).await;
    })
    .await;
    let budget = &server.state.config.memory_budget;
    // The session reads in turns; a ping within a message shows that it has read it.
    beside(&mut session, async {
        while budget.used_bytes_of(MemoryKind::Frames) < 490 << 10 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    budget.shares().iter().for_each(MemoryShare::evict);
    let closed = async {
        let frame = client.next().await.unwrap().unwrap();
        let Message::Close(Some(close)) = frame else {
            panic!("{frame:?}")
        };
        assert_eq!(u16::from(close.code), close::OUT_OF_MEMORY);
        assert_eq!(budget.used_bytes(), 0);
    };
    beside(&mut session, closed).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_beyond_its_rate_waits_and_its_requests_keep_their_order() {
    const PER_SECOND: u64 = 10;
    let mut limits = crate::rate_limits::Limits::default();
    limits.per_socket.requests_per_s = PER_SECOND;
    let server = server(Config::default().limits(limits));
    let (mut client, mut session) = connect(&server, 1 << 20).await;
    let began = Instant::now();
    let requests = async {
        next_message(&mut client).await;
        for id in 1..=100 {
            let operation = Operation::Add {
                stream: "s".into(),
                fields: vec![("id".into(), id.to_string().into())],
                maxlen: None,
            };
            send(&mut client, ClientMessage::Request { id, operation }).await;
        }
        let mut next = 1;
        while next <= 100 {
            let frame = client.next().await.unwrap().unwrap().into_data();
            for message in ENCODING.messages(&frame) {
                match message.unwrap() {
                    ServerMessage::Reply { id, outcome } => {
                        assert_eq!(id, next);
                        assert!(matches!(outcome, Outcome::Ok(_)), "{outcome:?}");
                        next += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    };
    beside(&mut session, requests).await;
    // Five seconds' worth came at once.
    let (least, most) = (Duration::from_secs(5), Duration::from_millis(5_200));
    let took = began.elapsed();
    assert!(
        took >= least - Duration::from_millis(200) && took < most,
        "{took:?}"
    );
    assert!(server.state.metrics.pauses_of_sockets.value() >= 40);
    assert_eq!(server.state.metrics.pauses_of_subjects.value(), 0);
}
