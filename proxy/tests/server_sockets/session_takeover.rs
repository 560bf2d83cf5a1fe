//! A client that says hello on a new socket: its old session ends first.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use streamgate::{CLOSE_TIMEOUT, Config, Server};
use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Credit, Item, Subscription};
use streamgate_protocol::{ClientMessage, ConsumeOptions, Operation, Reply, ServerMessage, close};
use streamgate_redis::RedisStreams;
use streamgate_test_support::relay::{Direction, Flow, Relay, Scope};
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::client::{TestClient, add, hello_of, large_read, request, tail, wait};
use crate::test_server::{TestServer, listen};

const ENTRIES: usize = 10;

const CREDIT: Credit = Credit {
    entries: 1_000,
    bytes: 1 << 20,
};

/// Connects and says hello with an id; other messages follow in the same frame.
async fn connect_as(
    address: SocketAddr,
    encoding: Encoding,
    id: &str,
    messages: Vec<ClientMessage<'_>>,
) -> TestClient {
    let mut client = TestClient::connect_silently(address, encoding).await;
    let mut frame = vec![hello_of(id)];
    frame.extend(messages);
    client.send(&frame).await;
    client.welcome().await;
    client
}

fn read_group(id: u64, stream: &str) -> ClientMessage<'_> {
    let operation = Operation::ReadGroup {
        stream: stream.into(),
        group: "g".into(),
        consumer: "c".into(),
        count: 1,
        block_ms: Some(0),
    };
    request(id, operation)
}

fn read_pending(id: u64, stream: &str) -> ClientMessage<'_> {
    let operation = Operation::ReadPending {
        stream: stream.into(),
        group: "g".into(),
        consumer: "c".into(),
        after: "0".into(),
        count: 0,
        except: Vec::new(),
    };
    request(id, operation)
}

fn consume(id: u64, stream: &str) -> ClientMessage<'static> {
    ClientMessage::Subscribe {
        id,
        subscription: Subscription::consume(stream, "g", "c", ConsumeOptions::default())
            .into_owned(),
        credit: CREDIT,
    }
}

async fn create_group(client: &mut TestClient, stream: &str) {
    let operation = Operation::CreateGroup {
        stream: stream.into(),
        group: "g".into(),
        id: "0".into(),
    };
    client.send(&[request(1, operation)]).await;
    client.reply_to(1).await.unwrap();
}

#[tokio::test]
async fn the_old_session_is_closed_with_4410_and_its_waits_end_before_the_welcome() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut old = connect_as(server.address, encoding, "c", vec![wait(1), wait(2)]).await;
        old.send(&[tail(3, "t", CREDIT)]).await;
        server.backend.until_waits(2).await;
        server.backend.until_tails(1).await;
        let mut new = connect_as(server.address, encoding, "c", Vec::new()).await;
        assert_eq!((server.backend.waits(), server.backend.tails()), (0, 0));
        assert_eq!(old.closed().await.code, close::TAKEN_OVER);
        old.ended().await;
        new.ping(1).await;
        // The id is free again, for the same client and for others.
        new.close().await;
        connect_as(server.address, encoding, "c", Vec::new())
            .await
            .close()
            .await;
    }
}

#[tokio::test]
async fn a_client_with_another_id_ends_nobody() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut one = connect_as(server.address, encoding, "one", vec![wait(1)]).await;
        server.backend.until_waits(1).await;
        let other = connect_as(server.address, encoding, "other", Vec::new()).await;
        one.ping(2).await;
        assert_eq!(server.backend.waits(), 1);
        other.close().await;
        one.close().await;
        server.backend.until_waits(0).await;
    }
}

#[tokio::test]
async fn of_sockets_that_say_hello_at_the_same_moment_one_lives() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let connecting = (0..16).map(|_| TestClient::connect_silently(server.address, encoding));
        let mut clients = join_all(connecting).await;
        let hellos = clients.iter_mut().map(async |client| {
            client.send(&[hello_of("c"), wait(1)]).await;
        });
        join_all(hellos).await;
        let others = clients.len() - 1;
        let ends = clients.into_iter().map(async |mut client| {
            let closed = client.closed().await;
            (client, closed)
        });
        let mut ends: FuturesUnordered<_> = ends.collect();
        for _ in 0..others {
            let (_, closed) = ends.next().await.unwrap();
            assert_eq!(closed.code, close::TAKEN_OVER);
        }
        server.backend.until_waits(1).await;
        server.serves_other_clients().await;
        assert!(ends.next().now_or_never().is_none());
        drop(ends);
        server.backend.until_waits(0).await;
    }
}

#[tokio::test]
async fn an_old_client_that_reads_nothing_delays_no_hello() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let messages = vec![large_read(1, 15 << 20), wait(2)];
        let old = connect_as(server.address, encoding, "c", messages).await;
        server.backend.until_waits(1).await;
        let start = Instant::now();
        let new = connect_as(server.address, encoding, "c", Vec::new()).await;
        assert!(start.elapsed() < CLOSE_TIMEOUT);
        drop((old, new));
    }
}

#[tokio::test]
async fn a_slow_operation_of_the_old_session_delays_a_hello_for_a_bounded_time() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let old = connect_as(server.address, encoding, "c", vec![add(1, "slow", "a")]).await;
        server.backend.until_slow_adds(1).await;
        let mut new = connect_as(server.address, encoding, "c", Vec::new()).await;
        assert_eq!(
            server.backend.slow_adds(),
            0,
            "it was dropped before the welcome"
        );
        new.ping(1).await;
        drop((old, new));
    }
}

/// A backend to test, and what has to live as long as it.
struct Subject {
    backend: Arc<dyn Backend>,
    _redis: Option<RedisServer>,
}

async fn subjects() -> Vec<Subject> {
    let mut subjects = vec![Subject {
        backend: Arc::new(MemoryStreams::new()),
        _redis: None,
    }];
    for version in RedisVersion::ALL {
        let redis = RedisServer::start(version).unwrap();
        let backend = RedisStreams::connect(&redis.url()).await.unwrap();
        subjects.push(Subject {
            backend: Arc::new(backend),
            _redis: Some(redis),
        });
    }
    subjects
}

/// Serves a backend, and returns its address and that of a relay in front of it. The heartbeat is so
/// long that only a take-over can end a session.
async fn serve(subject: &Subject) -> (SocketAddr, Relay) {
    let config = Config::default().heartbeat_ms(600_000);
    let server = Server::new(Arc::clone(&subject.backend), config).unwrap();
    let (address, listener) = listen().await;
    tokio::spawn(server.serve(listener, std::future::pending()));
    let relay = Relay::start((Ipv4Addr::LOCALHOST, address.port()).into());
    (address, relay.await.unwrap())
}

/// The client's network changes: what it sends on the old socket, and what is sent to it there, is
/// lost. Its close is, too.
fn make_half_open(relay: &Relay, client: TestClient) {
    relay.set(Scope::Present, Direction::Both, Flow::Stall);
    drop(client);
}

/// Connects the client `c` by a relay, begins its requests, and makes the socket half-open.
async fn connect_half_open(relay: &Relay, encoding: Encoding, requests: Vec<ClientMessage<'_>>) {
    let mut client = connect_as(relay.address(), encoding, "c", requests).await;
    // The server has begun the requests when it answers.
    client.ping(3).await;
    make_half_open(relay, client);
}

/// Connects a client that adds entries, and creates the group.
async fn connect_writer(address: SocketAddr, encoding: Encoding, stream: &str) -> TestClient {
    let mut writer = TestClient::connect(address, encoding).await;
    writer.welcome().await;
    create_group(&mut writer, stream).await;
    writer
}

#[tokio::test]
async fn entries_go_to_the_new_socket_of_a_consumer_whose_old_one_is_half_open() {
    for subject in subjects().await {
        let (address, relay) = serve(&subject).await;
        for &encoding in Encoding::ALL {
            let stream = format!("s-{encoding:?}");
            let mut writer = connect_writer(address, encoding, &stream).await;
            let old = vec![consume(1, &stream), read_group(2, &stream)];
            connect_half_open(&relay, encoding, old).await;

            let messages = vec![read_pending(1, &stream), consume(2, &stream)];
            let mut new = connect_as(address, encoding, "c", messages).await;
            let pending = new.reply_to(1).await.unwrap().into_entries().unwrap();
            assert_eq!(pending, []);
            let mut expected = Vec::new();
            for n in 0..ENTRIES {
                let n = n as u64 + 2;
                writer.send(&[add(n, &stream, "v")]).await;
                expected.push(writer.reply_to(n).await.unwrap().into_added().unwrap());
            }
            assert_eq!(pushed(&mut new, ENTRIES).await, expected);
            new.close().await;
        }
    }
}

#[tokio::test]
async fn a_dead_group_read_is_not_served_before_that_of_the_new_socket() {
    for subject in subjects().await {
        let (address, relay) = serve(&subject).await;
        for &encoding in Encoding::ALL {
            let stream = format!("s-{encoding:?}");
            let mut writer = connect_writer(address, encoding, &stream).await;
            connect_half_open(&relay, encoding, vec![read_group(2, &stream)]).await;
            let waiting = vec![read_group(1, &stream)];
            let mut new = connect_as(address, encoding, "c", waiting).await;
            writer.send(&[add(2, &stream, "v")]).await;
            let id = writer.reply_to(2).await.unwrap().into_added().unwrap();
            let entries = new.reply_to(1).await.unwrap().into_entries().unwrap();
            assert_eq!(entries.len(), 1);
            assert_eq!(entries[0].id, id);
            new.close().await;
        }
    }
}

/// The take-over comes while entries are added, so that some are on their way to the old socket.
#[tokio::test]
async fn entries_on_their_way_to_the_old_socket_are_found_pending() {
    const ROUNDS: usize = 8;
    for subject in subjects().await {
        let (address, relay) = serve(&subject).await;
        for &encoding in Encoding::ALL {
            let stream = format!("s-{encoding:?}");
            let mut writer = connect_writer(address, encoding, &stream).await;
            let mut seen = BTreeSet::new();
            let mut added = BTreeSet::new();
            for _ in 0..ROUNDS {
                connect_half_open(&relay, encoding, vec![consume(1, &stream)]).await;
                let adding = async {
                    for n in 0..ENTRIES as u64 {
                        writer.send(&[add(n, &stream, "v")]).await;
                        let id = writer.reply_to(n).await.unwrap().into_added().unwrap();
                        added.insert(id);
                    }
                };
                let resuming = async {
                    let messages = vec![read_pending(1, &stream), consume(2, &stream)];
                    let mut new = connect_as(address, encoding, "c", messages).await;
                    let mut early = Vec::new();
                    loop {
                        match new.receive().await.unwrap() {
                            ServerMessage::Reply { id: 1, outcome } => {
                                let reply: Result<Reply, _> = outcome.into();
                                let pending = reply.unwrap().into_entries().unwrap();
                                return (new, pending, early);
                            }
                            ServerMessage::Push {
                                item: Item::Entries { entries, .. },
                                ..
                            } => early.extend(entries.into_iter().map(|entry| entry.id)),
                            other => panic!("neither pending entries nor a push: {other:?}"),
                        }
                    }
                };
                let ((), (mut new, pending, early)) = tokio::join!(adding, resuming);
                // Those of earlier rounds are pending, too.
                seen.extend(pending.into_iter().map(|entry| entry.id));
                let rest = added.difference(&seen).count() - early.len();
                for id in early.into_iter().chain(pushed(&mut new, rest).await) {
                    assert!(seen.insert(id.clone()), "{id} twice");
                }
                assert_eq!(seen, added);
                new.close().await;
            }
        }
    }
}

/// Returns the ids of the next entries that are pushed.
async fn pushed(client: &mut TestClient, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        match client.receive().await.unwrap() {
            ServerMessage::Push {
                item: Item::Entries { entries, .. },
                ..
            } => ids.extend(entries.into_iter().map(|entry| entry.id)),
            other => panic!("no entries: {other:?}"),
        }
    }
    ids
}
