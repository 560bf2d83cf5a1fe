//! Servers on one backend, and a relay on the way to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use streamgate::{Config, Server};
use streamgate_backend::Backend;
use streamgate_client::{Client, PendingEntries, PendingEntry, PendingQuery, StreamingBackend};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_redis::RedisStreams;
use streamgate_test_support::relay::{Cut, Relay};
use streamgate_test_support::{RedisServer, RedisVersion};
use tokio::net::TcpListener;

/// Catches hangs: far more than anything here takes.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(60);

pub(crate) const STREAM: &str = "s";
pub(crate) const GROUP: &str = "g";

/// Two servers on the same streams, and a relay that leads to the first.
pub(crate) struct Deployment {
    pub(crate) relay: Relay,
    pub(crate) other: SocketAddr,
    first: SocketAddr,
    encoding: Encoding,
    _redis: Option<RedisServer>,
}

/// The backends to test.
#[derive(Debug, Clone, Copy)]
enum Storage {
    Memory,
    Redis(RedisVersion),
}

/// Runs a test on every backend in every encoding, all at once.
pub(crate) async fn on_every_backend(heartbeat_ms: u32, test: impl AsyncFn(&Deployment)) {
    let redis = RedisVersion::ALL.map(Storage::Redis);
    let storages = [Storage::Memory].into_iter().chain(redis);
    let subjects = storages.flat_map(|storage| Encoding::ALL.iter().map(move |e| (storage, *e)));
    let test = &test;
    let tests = subjects.map(async |(storage, encoding)| {
        let deployment = Deployment::start(storage, encoding, heartbeat_ms).await;
        let done = tokio::time::timeout(HANG_LIMIT, test(&deployment)).await;
        assert!(done.is_ok(), "the test hangs on {storage:?}, {encoding:?}");
    });
    join_all(tests).await;
}

impl Deployment {
    async fn start(storage: Storage, encoding: Encoding, heartbeat_ms: u32) -> Self {
        let mut redis_server = None;
        let backends: [Arc<dyn Backend>; 2] = match storage {
            Storage::Memory => {
                let streams = MemoryStreams::new();
                [Arc::new(streams.clone()), Arc::new(streams)]
            }
            Storage::Redis(version) => {
                let redis = RedisServer::start(version).unwrap();
                let url = redis.url();
                redis_server = Some(redis);
                let connect = async || Arc::new(RedisStreams::connect(&url).await.unwrap());
                [connect().await, connect().await]
            }
        };
        let [first, other] = backends;
        let first = serve(first, heartbeat_ms).await;
        let deployment = Self {
            relay: Relay::start(first).await.unwrap(),
            other: serve(other, heartbeat_ms).await,
            first,
            encoding,
            _redis: redis_server,
        };
        let writer = deployment.writer().await;
        writer
            .stream_create_group(STREAM, GROUP, "0")
            .await
            .unwrap();
        deployment
    }

    /// Connects a client that no fault reaches.
    pub(crate) async fn writer(&self) -> Client {
        self.connect(self.first).await
    }

    /// Connects a client through the relay.
    pub(crate) async fn relayed(&self) -> Client {
        self.connect(self.relay.address()).await
    }

    async fn connect(&self, address: SocketAddr) -> Client {
        let builder = Client::builder(&format!("ws://{address}/v1/ws"));
        let pause = Duration::from_millis(20);
        let client = builder.encoding(self.encoding).backoff(pause, pause);
        client.connect().await.unwrap()
    }

    /// Makes the relay's connection half-open, and lets nobody connect until
    /// [`reconnect`](Self::reconnect).
    pub(crate) async fn make_half_open(&self) {
        self.relay.refuse(true);
        self.relay.cut(Cut::HalfOpen);
        let is_half_open = self.relay.until(|counts| counts.half_open == 1);
        is_half_open.await.unwrap();
    }

    /// Lets the client connect again, and waits until it has.
    pub(crate) async fn reconnect(&self, client: &Client) {
        self.relay.refuse(false);
        client.stream_read_latest(STREAM, 1).await.unwrap();
    }
}

async fn serve(backend: Arc<dyn Backend>, heartbeat_ms: u32) -> SocketAddr {
    let config = Config::default().heartbeat_ms(heartbeat_ms);
    let server = Server::new(backend, config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener, std::future::pending()));
    address
}

/// Adds entries, and returns their ids.
pub(crate) async fn add(client: &Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let fields = vec![("f".to_owned(), "v".to_owned())];
        ids.push(client.stream_add(STREAM, fields, None).await.unwrap());
    }
    ids
}

/// Returns all pending entries of the group.
pub(crate) async fn pending(client: &Client) -> Vec<PendingEntry> {
    let all = client.pending(STREAM, GROUP, PendingQuery::default());
    all.await.unwrap()
}
