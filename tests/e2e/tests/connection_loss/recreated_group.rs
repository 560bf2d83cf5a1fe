//! A consumer that creates its group, while its connection is lost: the group is destroyed, the
//! stream is deleted, and either may be there again when the consumer resumes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use streamgate::{Config, Server};
use streamgate_client::{Client, ConsumeOptions, Deliveries, StreamingBackend, SubscribingBackend};
use streamgate_redis::RedisStreams;
use streamgate_test_support::relay::{Cut, Relay};
use streamgate_test_support::{RedisServer, RedisVersion};
use tokio::net::TcpListener;

use crate::fields;

/// Catches hangs: far more than anything here takes.
const HANG_LIMIT: Duration = Duration::from_secs(30);

/// A server in front of Redis, and a client whose connection can be cut.
struct Setup {
    direct: redis::aio::MultiplexedConnection,
    relay: Relay,
    client: Client,
    _redis: RedisServer,
}

impl Setup {
    async fn start() -> Self {
        let redis = RedisServer::start(RedisVersion::ALL[0]).unwrap();
        let backend = RedisStreams::connect(&redis.url()).await.unwrap();
        let relay = Relay::start(serve(backend).await).await.unwrap();
        let url = format!("ws://{}/v1/ws", relay.address());
        let backoff = Duration::from_millis(5);
        let builder = Client::builder(&url).backoff(backoff, 10 * backoff);
        let direct = redis::Client::open(redis.url()).unwrap();
        Self {
            direct: direct.get_multiplexed_async_connection().await.unwrap(),
            relay,
            client: builder.connect().await.unwrap(),
            _redis: redis,
        }
    }

    /// Starts a consumer and waits until it has begun.
    async fn consume(&mut self, create_from: &str) -> Deliveries {
        let options = ConsumeOptions::default().create_from(create_from);
        let mut deliveries = self.client.consume("s", "g", "c", options);
        let began = async {
            while !self.group_exists().await {}
            // The server has pushed the position before it answers the last of these.
            for _ in 0..3 {
                self.client.stream_read_latest("s", 1).await.unwrap();
            }
        };
        tokio::select! {
            early = deliveries.next() => assert!(early.is_none(), "it received {early:?}"),
            () = began => {}
        }
        deliveries
    }

    async fn group_exists(&mut self) -> bool {
        let groups: redis::RedisResult<Vec<redis::Value>> =
            self.send(&["XINFO", "GROUPS", "s"]).await;
        groups.is_ok_and(|groups| !groups.is_empty())
    }

    /// Performs commands at Redis while the client has no connection.
    async fn while_disconnected(&mut self, commands: &[&[&str]]) {
        self.relay.refuse(true);
        self.relay.cut(Cut::Reset);
        // The server has noticed it too, so nothing is delivered any more.
        self.relay.until(|counts| counts.refused > 0).await.unwrap();
        for command in commands {
            self.send::<redis::Value>(command).await.unwrap();
        }
        self.relay.refuse(false);
    }

    async fn send<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> redis::RedisResult<T> {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut self.direct).await
    }

    async fn add(&self, value: &str) {
        let added = self.client.stream_add("s", fields(value), None);
        tokio::time::timeout(HANG_LIMIT, added)
            .await
            .unwrap()
            .unwrap();
    }
}

async fn serve(backend: RedisStreams) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(Arc::new(backend), Config::default()).unwrap();
    tokio::spawn(server.serve(listener, std::future::pending()));
    address
}

/// Returns the values of the next entries.
async fn next(deliveries: &mut Deliveries, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        let batch = tokio::time::timeout(HANG_LIMIT, deliveries.next()).await;
        let batch = batch.unwrap().unwrap().unwrap();
        values.extend(batch.into_iter().map(|entry| entry.fields[0].1.to_string()));
    }
    values
}

const DESTROY_GROUP: &[&str] = &["XGROUP", "DESTROY", "s", "g"];
const DELETE_STREAM: &[&str] = &["DEL", "s"];

/// Each list is what happens while the consumer is disconnected, and the values that it receives
/// after that, before `end`.
const OUTAGES: &[(&[&[&str]], &[&str])] = &[
    (&[&["XADD", "s", "*", "f", "x"]], &["x"]),
    (&[DESTROY_GROUP, &["XADD", "s", "*", "f", "x"]], &["x"]),
    (&[&["XADD", "s", "*", "f", "x"], DESTROY_GROUP], &["x"]),
    (&[DELETE_STREAM], &[]),
    (&[DELETE_STREAM, &["XADD", "s", "*", "f", "x"]], &["x"]),
    (
        &[
            DELETE_STREAM,
            &["XADD", "s", "1-1", "f", "x"],
            &["XADD", "s", "1-2", "f", "y"],
        ],
        &["x", "y"],
    ),
    (
        &[
            DELETE_STREAM,
            &["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"],
            &["XADD", "s", "1-1", "f", "x"],
        ],
        &["x"],
    ),
];

#[tokio::test]
async fn a_consumer_from_dollar_that_received_nothing_misses_nothing() {
    for (commands, expected) in OUTAGES {
        let mut setup = Setup::start().await;
        setup.add("before").await;
        let mut deliveries = setup.consume("$").await;
        setup.while_disconnected(commands).await;
        let received = next(&mut deliveries, expected.len()).await;
        assert_eq!(received, *expected, "{commands:?}");
        setup.add("end").await;
        assert_eq!(next(&mut deliveries, 1).await, ["end"], "{commands:?}");
    }
}

#[tokio::test]
async fn a_consumer_from_dollar_goes_on_after_the_last_entry() {
    for (commands, expected) in OUTAGES {
        let mut setup = Setup::start().await;
        setup.add("before").await;
        let mut deliveries = setup.consume("$").await;
        for value in ["1", "2"] {
            setup.add(value).await;
        }
        assert_eq!(next(&mut deliveries, 2).await, ["1", "2"]);
        setup.while_disconnected(commands).await;
        let received = next(&mut deliveries, expected.len()).await;
        assert_eq!(received, *expected, "{commands:?}");
        setup.add("end").await;
        assert_eq!(next(&mut deliveries, 1).await, ["end"], "{commands:?}");
    }
}

/// An id means the same each time, so a group that is created again delivers all after it.
#[tokio::test]
async fn a_consumer_from_an_id_goes_on_at_the_id() {
    let mut setup = Setup::start().await;
    let mut deliveries = setup.consume("0").await;
    setup.add("1").await;
    assert_eq!(next(&mut deliveries, 1).await, ["1"]);
    let outage = [DESTROY_GROUP, &["XADD", "s", "*", "f", "2"]];
    setup.while_disconnected(&outage).await;
    assert_eq!(next(&mut deliveries, 2).await, ["1", "2"]);
}
