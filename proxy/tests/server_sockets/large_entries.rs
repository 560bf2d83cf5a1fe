//! Entries that are too large for a frame: no reader is blocked by them, and no frame is larger than
//! its client takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use streamgate::{Config, Server};
use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::{
    FIELD_BYTES, MAX_ENTRY_BYTES, MAX_SERVER_FRAME_BYTES, MIN_CLIENT_FRAME_BYTES,
};
use streamgate_protocol::message::{Credit, Fault, Hello, Item, Outcome, Subscription, TailStart};
use streamgate_protocol::{
    ClientMessage, ConsumeOptions, Operation, Reply, ServerMessage, Skipped, StreamingBackend,
};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::client::{TestClient, add, request};
use crate::test_server::listen;

const MIB: usize = 1 << 20;

/// Larger than any frame of a server.
const HUGE: usize = 17 * MIB;

const PLENTY: Credit = Credit::UNLIMITED;

/// A Redis, and a server in front of it.
struct Fixture {
    redis: RedisServer,
    address: SocketAddr,
}

impl Fixture {
    async fn start(version: RedisVersion) -> Self {
        Self::start_with(version, &[]).await
    }

    async fn start_with(version: RedisVersion, config: &[&str]) -> Self {
        let redis = RedisServer::start_with(version, config).unwrap();
        let backend = RedisStreams::connect(&redis.url()).await.unwrap();
        let address = serve(Arc::new(backend)).await;
        Self { redis, address }
    }

    /// Adds an entry as another program does.
    async fn xadd(&self, stream: &str, id: &str, bytes: usize) {
        self.xadd_value(stream, id, &"v".repeat(bytes)).await;
    }

    async fn xadd_value(&self, stream: &str, id: &str, value: &str) {
        let mut connection = self.connect_directly().await;
        let mut command = Vec::new();
        command.extend_from_slice(b"*5\r\n");
        for argument in ["XADD", stream, id, "f", value] {
            command.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            command.extend_from_slice(argument.as_bytes());
            command.extend_from_slice(b"\r\n");
        }
        connection.write_all(&command).await.unwrap();
        let mut answer = String::new();
        connection.read_line(&mut answer).await.unwrap();
        assert!(answer.starts_with('$'), "{answer}");
    }

    async fn connect_directly(&self) -> BufReader<TcpStream> {
        let address = (Ipv4Addr::LOCALHOST, self.redis.port());
        BufReader::new(TcpStream::connect(address).await.unwrap())
    }

    /// Returns how many connections Redis has accepted.
    async fn connections_received(&self) -> u64 {
        let mut connection = self.connect_directly().await;
        connection
            .write_all(b"INFO stats\r\nQUIT\r\n")
            .await
            .unwrap();
        let mut answers = String::new();
        connection.read_to_string(&mut answers).await.unwrap();
        let mut lines = answers.lines();
        let name = "total_connections_received:";
        let count = lines.find_map(|line| line.strip_prefix(name));
        count.unwrap().parse().unwrap()
    }

    /// Adds a huge entry between two small ones, and a group that has read none of them.
    async fn huge_between_small(&self, stream: &str) {
        for (id, bytes) in [("1-0", 1), ("2-0", HUGE), ("3-0", 1)] {
            self.xadd(stream, id, bytes).await;
        }
        let mut client = connect(self.address, Encoding::Binary, MAX_SERVER_FRAME_BYTES).await;
        let operation = Operation::CreateGroup {
            stream: stream.into(),
            group: "g".into(),
            id: "0".into(),
        };
        client.send(&[request(1, operation)]).await;
        client.reply_to(1).await.unwrap();
    }
}

async fn serve(backend: Arc<dyn Backend>) -> SocketAddr {
    let server = Server::new(backend, Config::default()).unwrap();
    let (address, listener) = listen().await;
    tokio::spawn(server.serve(listener, std::future::pending()));
    address
}

/// Connects a client whose WebSocket refuses larger frames.
async fn connect(address: SocketAddr, encoding: Encoding, max_frame_bytes: usize) -> TestClient {
    let mut client = TestClient::try_connect_within(address, encoding, max_frame_bytes)
        .await
        .unwrap();
    let id = format!("{encoding:?}-{}", fastrand::u64(..));
    let hello = Hello::new(id, u32::try_from(max_frame_bytes).unwrap());
    client.send(&[ClientMessage::Hello(hello)]).await;
    client.welcome().await;
    client
}

/// Returns the ids of a reply's entries, and whether more are pending.
async fn ids_of(client: &mut TestClient, operation: Operation<'_>) -> (Vec<String>, bool) {
    client.send(&[request(1, operation)]).await;
    match client.reply_to(1).await.unwrap() {
        Reply::Entries { entries, more, .. } => (ids(entries), more),
        Reply::Claimed(claimed) => (ids(claimed.entries), claimed.more),
        other => panic!("no entries: {other:?}"),
    }
}

async fn fault_of(client: &mut TestClient, operation: Operation<'_>) -> Fault {
    client.send(&[request(1, operation)]).await;
    match client.receive().await.unwrap() {
        ServerMessage::Reply {
            outcome: Outcome::Error(fault),
            ..
        } => fault,
        other => panic!("no fault: {other:?}"),
    }
}

fn ids(entries: Vec<streamgate_protocol::Entry>) -> Vec<String> {
    entries.into_iter().map(|entry| entry.id).collect()
}

fn read<'a>(stream: &'a str, last_id: &'a str) -> Operation<'a> {
    Operation::Read {
        stream: stream.into(),
        last_id: last_id.into(),
        count: 0,
        block_ms: None,
    }
}

fn read_group<'a>(stream: &'a str, consumer: &'a str) -> Operation<'a> {
    Operation::ReadGroup {
        stream: stream.into(),
        group: "g".into(),
        consumer: consumer.into(),
        count: 0,
        block_ms: None,
    }
}

fn read_pending<'a>(stream: &'a str, consumer: &'a str, after: &'a str) -> Operation<'a> {
    Operation::ReadPending {
        stream: stream.into(),
        group: "g".into(),
        consumer: consumer.into(),
        after: after.into(),
        count: 0,
        except: Vec::new(),
    }
}

fn claim<'a>(stream: &'a str, consumer: &'a str) -> Operation<'a> {
    Operation::Claim {
        stream: stream.into(),
        group: "g".into(),
        consumer: consumer.into(),
        min_idle_ms: 0,
        start: "0-0".into(),
        count: 10,
    }
}

fn tail_from_the_beginning(id: u64, stream: &str) -> ClientMessage<'_> {
    ClientMessage::Subscribe {
        id,
        subscription: Subscription::Tail {
            stream: stream.into(),
            from: TailStart::Beginning {},
        },
        credit: PLENTY,
    }
}

fn consume(id: u64, stream: &str, options: ConsumeOptions) -> ClientMessage<'static> {
    ClientMessage::Subscribe {
        id,
        subscription: Subscription::consume(stream, "g", "c", options).into_owned(),
        credit: PLENTY,
    }
}

/// Returns the ids of the next pushed entries, those of skipped ones with their sizes.
async fn pushed(client: &mut TestClient, count: usize) -> Vec<String> {
    let mut pushed = Vec::new();
    while pushed.len() < count {
        match client.receive().await.unwrap() {
            ServerMessage::Push { item, .. } => match item {
                Item::Entries { entries, .. } => pushed.extend(ids(entries)),
                Item::Skipped(Skipped {
                    id, bytes, reason, ..
                }) => pushed.push(format!("{id} skipped: {reason} {bytes}")),
                other => panic!("not entries: {other:?}"),
            },
            ServerMessage::Backend { .. } => {}
            other => panic!("no push: {other:?}"),
        }
    }
    pushed
}

#[tokio::test]
async fn a_subscription_skips_an_entry_that_fits_no_frame_and_goes_on() {
    let expected = ["1-0", "2-0 skipped: size 17825796", "3-0"];
    for version in RedisVersion::ALL {
        let fixture = Fixture::start(version).await;
        for &encoding in Encoding::ALL {
            let stream = format!("s-{encoding:?}");
            fixture.huge_between_small(&stream).await;
            let mut client = connect(fixture.address, encoding, MAX_SERVER_FRAME_BYTES).await;
            client.send(&[tail_from_the_beginning(1, &stream)]).await;
            assert_eq!(pushed(&mut client, 3).await, expected);
            client
                .send(&[consume(2, &stream, ConsumeOptions::default())])
                .await;
            assert_eq!(pushed(&mut client, 3).await, expected);
            client.send(&[ClientMessage::Cancel { id: 2 }]).await;
            // Nothing was acknowledged, so all of them are reclaimed, after a while.
            let options = ConsumeOptions::default().claim_after_ms(1);
            let reclaiming = Subscription::consume(&stream, "g", "d", options);
            client
                .send(&[ClientMessage::Subscribe {
                    id: 3,
                    subscription: reclaiming,
                    credit: PLENTY,
                }])
                .await;
            let mut reclaimed = pushed(&mut client, 3).await;
            reclaimed.sort_unstable();
            assert_eq!(reclaimed, expected);
        }
    }
}

#[tokio::test]
async fn a_request_returns_what_fits_and_names_the_entry_that_does_not() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::start(version).await;
        for &encoding in Encoding::ALL {
            let stream = format!("s-{encoding:?}");
            let stream = stream.as_str();
            fixture.huge_between_small(stream).await;
            let mut client = connect(fixture.address, encoding, MAX_SERVER_FRAME_BYTES).await;
            let client = &mut client;

            // While the size of the entries is unknown, no more are delivered than fit.
            let (found, more) = ids_of(client, read_group(stream, "c")).await;
            assert_eq!((found, more), (vec!["1-0".to_owned()], false));
            // Now they seem to be small, so the others are delivered together.
            let fault = fault_of(client, read_group(stream, "c")).await;
            assert_eq!(
                (&*fault.code, fault.entry.as_deref()),
                ("LIMIT", Some("2-0"))
            );
            let fault = fault_of(client, read_pending(stream, "c", "1-0")).await;
            assert_eq!(
                (&*fault.code, fault.entry.as_deref()),
                ("LIMIT", Some("2-0"))
            );
            let (found, more) = ids_of(client, read_pending(stream, "c", "2-0")).await;
            assert_eq!((found, more), (vec!["3-0".to_owned()], false));

            // No more are claimed than fit.
            let (found, more) = ids_of(client, claim(stream, "d")).await;
            assert_eq!((found, more), (vec!["1-0".to_owned()], false));

            assert_eq!(ids_of(client, read(stream, "0")).await.0, ["1-0"]);
            let fault = fault_of(client, read(stream, "1-0")).await;
            assert_eq!(
                (&*fault.code, fault.entry.as_deref()),
                ("LIMIT", Some("2-0"))
            );
            assert_eq!(ids_of(client, read(stream, "2-0")).await.0, ["3-0"]);
            let latest = Operation::ReadLatest {
                stream: stream.into(),
                count: 10,
            };
            assert_eq!(ids_of(client, latest).await.0, ["3-0"]);
        }
    }
}

/// NULs take more bytes in JSON than in binary, so the entry fits into a binary frame only.
#[tokio::test]
async fn an_entry_that_grows_in_an_encoding_blocks_no_reader() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::start(version).await;
        fixture.xadd("s", "1-0", 1).await;
        fixture
            .xadd_value("s", "2-0", &"\0".repeat(MIB / 8 * 7))
            .await;
        fixture.xadd("s", "3-0", 1).await;
        for &encoding in Encoding::ALL {
            let mut client = connect(fixture.address, encoding, MIB).await;
            client.send(&[tail_from_the_beginning(1, "s")]).await;
            let ids = pushed(&mut client, 3).await;
            let ids: Vec<_> = ids.iter().map(|id| &id[..3]).collect();
            assert_eq!(ids, ["1-0", "2-0", "3-0"]);
            client.send(&[ClientMessage::Cancel { id: 1 }]).await;
            let (found, _) = ids_of(&mut client, read("s", "0")).await;
            assert_eq!(found[0], "1-0");
            let (found, _) = ids_of(&mut client, read("s", "2-0")).await;
            assert_eq!(found, ["3-0"]);
        }
    }
}

/// Each byte would take six as an escape in JSON.
#[tokio::test]
async fn the_largest_entry_of_control_characters_reaches_readers_in_both_encodings() {
    let backend = Arc::new(MemoryStreams::new());
    let value = "\0".repeat(MAX_ENTRY_BYTES - FIELD_BYTES - 1);
    let fields = vec![("f".to_owned(), value.clone())];
    let id = backend.stream_add("s", fields, None).await.unwrap();
    let address = serve(backend).await;
    for encoding in [Encoding::Binary, Encoding::Json] {
        let mut client = connect(address, encoding, MAX_SERVER_FRAME_BYTES).await;
        client.send(&[request(1, read("s", "0"))]).await;
        let entries = client.reply_to(1).await.unwrap().into_entries().unwrap();
        assert!(entries[0].get_bytes("f") == Some(value.as_bytes()));
        client.send(&[tail_from_the_beginning(2, "s")]).await;
        let pushed = loop {
            match client.receive().await.unwrap() {
                ServerMessage::Push {
                    item: Item::Entries { entries, .. },
                    ..
                } if entries.is_empty() => {}
                ServerMessage::Push { item, .. } => break item,
                other => panic!("no push: {other:?}"),
            }
        };
        let Item::Entries { entries, .. } = pushed else {
            panic!("no entries: {:?}", pushed.cost())
        };
        assert_eq!(entries[0].id, id);
    }
}

async fn memory_and_redis(redis: &RedisServer) -> [Arc<dyn Backend>; 2] {
    [
        Arc::new(MemoryStreams::new()),
        Arc::new(RedisStreams::connect(&redis.url()).await.unwrap()),
    ]
}

#[tokio::test]
async fn group_reads_of_a_large_backlog_return_all_of_it_in_the_end() {
    const ENTRIES: usize = 20;
    for version in RedisVersion::ALL {
        let redis = RedisServer::start(version).unwrap();
        for backend in memory_and_redis(&redis).await {
            backend.stream_create_group("s", "g", "0").await.unwrap();
            let mut expected = Vec::new();
            for _ in 0..ENTRIES {
                let fields = vec![("f".to_owned(), "v".repeat(MIB))];
                expected.push(backend.stream_add("s", fields, None).await.unwrap());
            }
            let address = serve(backend).await;
            let mut client = connect(address, Encoding::Binary, MAX_SERVER_FRAME_BYTES).await;
            let mut found = Vec::new();
            while found.len() < ENTRIES {
                let (delivered, mut more) = ids_of(&mut client, read_group("s", "c")).await;
                found.extend(delivered);
                assert!(found.len() > ENTRIES / 2);
                while more {
                    let after = found.last().unwrap().clone();
                    let pending = read_pending("s", "c", &after);
                    let (rest, more_yet) = ids_of(&mut client, pending).await;
                    found.extend(rest);
                    more = more_yet;
                }
            }
            assert_eq!(found, expected);
        }
    }
}

#[tokio::test]
async fn a_claim_of_many_deleted_entries_fits_into_a_small_frame() {
    const DELETED: usize = 6_000;
    for version in RedisVersion::ALL {
        let redis = RedisServer::start(version).unwrap();
        for backend in memory_and_redis(&redis).await {
            backend.stream_create_group("s", "g", "0").await.unwrap();
            let field = || vec![("f".to_owned(), "small".to_owned())];
            let adds = (0..DELETED).map(|_| backend.stream_add("s", field(), None));
            futures_util::future::try_join_all(adds).await.unwrap();
            let read = backend.stream_read_group("s", "g", "gone", 0, None);
            assert_eq!(read.await.unwrap().len(), DELETED);
            // Trimming is approximate: it may leave a node of the stream.
            backend.stream_add("s", field(), Some(1)).await.unwrap();
            let read = backend.stream_read_group("s", "g", "gone", 0, None);
            assert_eq!(read.await.unwrap().len(), 1);
            let address = serve(backend).await;
            let max_frame_bytes = MIN_CLIENT_FRAME_BYTES as usize;
            let mut client = connect(address, Encoding::Json, max_frame_bytes).await;
            let (mut cursor, mut entries, mut deleted) = (None, 0, 0);
            while cursor.as_deref() != Some("0-0") {
                let mut operation = claim("s", "c");
                if let Operation::Claim { count, start, .. } = &mut operation {
                    *count = DELETED as u64 + 1;
                    *start = cursor.unwrap_or_else(|| "0-0".to_owned()).into();
                }
                client.send(&[request(1, operation)]).await;
                let Reply::Claimed(claimed) = client.reply_to(1).await.unwrap() else {
                    panic!("no claim")
                };
                entries += claimed.entries.len();
                deleted += claimed.deleted.len();
                cursor = Some(claimed.cursor);
            }
            assert!(entries > 0);
            assert!((1_000..=DELETED).contains(&deleted));
            let (rest, more) = ids_of(&mut client, read_pending("s", "gone", "0-0")).await;
            assert_eq!((rest.len(), more), (0, false));
        }
    }
}

#[tokio::test]
async fn a_client_that_takes_small_frames_gets_every_entry_that_fits() {
    // In every size of frame some entries fit together, and some not at all.
    let sizes = [
        10, 30_000, 30_000, 30_000, 70_000, 500, 400_000, 400_000, 400_000, 2_000_000, 7,
    ];
    for max_frame_bytes in [MIN_CLIENT_FRAME_BYTES as usize, MIB] {
        let fixture = Fixture::start(RedisVersion::V7_0).await;
        for (n, size) in (1..).zip(sizes) {
            fixture.xadd("s", &format!("{n}-0"), size).await;
        }
        let fits = |size: usize| size + 200 < max_frame_bytes;
        let expected: Vec<String> = (1..)
            .zip(sizes)
            .map(|(n, size)| match fits(size) {
                true => format!("{n}-0"),
                // The id, of four or five bytes with the name.
                false => format!("{n}-0 skipped: size {}", size + format!("{n}-0f").len()),
            })
            .collect();
        for &encoding in Encoding::ALL {
            let mut client = connect(fixture.address, encoding, max_frame_bytes).await;
            client.send(&[tail_from_the_beginning(1, "s")]).await;
            assert_eq!(pushed(&mut client, sizes.len()).await, expected);
            client.send(&[ClientMessage::Cancel { id: 1 }]).await;
            let (mut last, mut found) = ("0".to_owned(), Vec::new());
            while last != format!("{}-0", sizes.len()) {
                let operation = read("s", &last);
                client.send(&[request(1, operation)]).await;
                match client.receive().await.unwrap() {
                    ServerMessage::Reply {
                        outcome: Outcome::Ok(Reply::Entries { entries, .. }),
                        ..
                    } => {
                        found.extend(ids(entries));
                        last.clone_from(found.last().unwrap());
                    }
                    ServerMessage::Reply {
                        outcome: Outcome::Error(fault),
                        ..
                    } => last = fault.entry.unwrap(),
                    other => panic!("no reply: {other:?}"),
                }
            }
            let fitting = expected.iter().filter(|id| !id.contains("skipped"));
            assert_eq!(found, fitting.cloned().collect::<Vec<_>>());
        }
    }
}

/// A tail of entries of which Redis sends one at a time, and none together.
#[tokio::test]
async fn a_redis_that_cuts_off_large_answers_is_not_flooded_and_others_are_left_alone() {
    const LIMIT: [&str; 2] = ["--client-output-buffer-limit", "normal 8mb 8mb 0"];
    const ENTRIES: usize = 8;
    for version in RedisVersion::ALL {
        let fixture = Fixture::start_with(version, &LIMIT).await;
        for n in 1..=ENTRIES {
            fixture.xadd("s", &format!("{n}-0"), 5 * MIB).await;
        }
        let before = fixture.connections_received().await;
        let mut other = connect(fixture.address, Encoding::Binary, MAX_SERVER_FRAME_BYTES).await;
        let mut reader = connect(fixture.address, Encoding::Binary, MAX_SERVER_FRAME_BYTES).await;
        reader.send(&[tail_from_the_beginning(1, "s")]).await;
        let reading = pushed(&mut reader, ENTRIES);
        // Failed adds in a row are one interruption.
        let (mut interruptions, mut reports, mut was_added) = (0, 0, true);
        let adding = async {
            for id in 1.. {
                other.send(&[add(id, "others", "v")]).await;
                loop {
                    match other.receive().await.unwrap() {
                        ServerMessage::Reply { outcome, .. } => {
                            let is_added = matches!(outcome, Outcome::Ok(_));
                            interruptions += usize::from(was_added && !is_added);
                            was_added = is_added;
                            break;
                        }
                        ServerMessage::Backend { .. } => reports += 1,
                        unexpected => panic!("{unexpected:?}"),
                    }
                }
            }
        };
        let ids = tokio::select! {
            ids = reading => ids,
            () = adding => panic!("adding never ends"),
        };
        let all: Vec<_> = (1..=ENTRIES).map(|n| format!("{n}-0")).collect();
        assert_eq!(ids, all);
        assert!(interruptions <= 1, "{interruptions} interruptions");
        assert!(reports <= 2, "{reports} reports");
        let received = fixture.connections_received().await - before;
        assert!(received <= 16, "{received} connections");
    }
}
