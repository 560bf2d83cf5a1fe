//! No entry is lost or duplicated, with real processes: connections are cut in the middle of a
//! reply, proxies are killed, and connections to Redis are cut.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use streamgate_client::{
    CacheError, Client, ConsumeOptions, StreamEntry, StreamingBackend, SubscribingBackend, Tail,
    TailFrom, TailItem,
};
use streamgate_test_support::relay::{Cut, Direction, Flow, Relay, Scope};
use streamgate_test_support::{Proxy, RedisServer, RedisVersion};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Adds of each test.
const ADDS: usize = 3_000;

/// Adds in flight at once.
const IN_FLIGHT: usize = 64;

/// Adds between two faults.
const ADDS_BETWEEN_FAULTS: usize = 300;

/// Catches hangs: far more than anything here takes.
const HANG_LIMIT: Duration = Duration::from_secs(60);

/// A writer, a tail, and a consumer that acknowledges, each with a connection of its own through
/// the relay.
struct Clients {
    writer: JoinHandle<Vec<String>>,
    tail: JoinHandle<Vec<String>>,
    consumer: JoinHandle<Vec<String>>,
    /// Acknowledged adds so far.
    added: watch::Receiver<usize>,
}

impl Clients {
    async fn start(relay: &Relay) -> Self {
        let url = format!("ws://{}/v1/ws", relay.address());
        let writer = connect(&url).await;
        writer.stream_create_group("s", "g", "0").await.unwrap();
        let tail = connect(&url).await;
        let consumer = connect(&url).await;
        let (progress, added) = watch::channel(0);
        Self {
            added,
            writer: tokio::spawn(async move { write(&writer, &progress).await }),
            tail: tokio::spawn(async move { read_tail(&tail).await }),
            consumer: tokio::spawn(async move { consume(&consumer).await }),
        }
    }

    /// Calls `inject` after every few adds, as long as more follow. Returns how often.
    async fn during_adds(&self, inject: impl AsyncFnMut()) -> usize {
        during_adds(self.added.clone(), inject).await
    }

    /// Waits until all have ended, and compares what they saw with the contents of Redis.
    async fn check(self, redis: &RedisServer) {
        let ids = end(self.writer).await;
        let direct = streamgate_redis::RedisStreams::connect(&redis.url())
            .await
            .unwrap();
        let entries = direct.stream_read("s", "0", 0, None).await.unwrap();
        let stored: Vec<_> = entries.iter().map(|(id, _)| id.clone()).collect();
        let values: Vec<_> = entries.iter().map(value).collect();
        assert_eq!(
            values,
            (0..ADDS).collect::<Vec<_>>(),
            "each once, in the writer's order"
        );
        assert_eq!(ids, stored, "the ids that the writer got");
        assert_eq!(end(self.tail).await, stored, "what the tail saw");
        let delivered = end(self.consumer).await;
        let distinct: BTreeSet<_> = delivered.iter().collect();
        assert_eq!(
            (delivered.len(), distinct.len()),
            (ADDS, ADDS),
            "what the consumer got"
        );
    }
}

async fn connect(url: &str) -> Client {
    let backoff = (Duration::from_millis(5), Duration::from_millis(100));
    let builder = Client::builder(url).backoff(backoff.0, backoff.1);
    builder.connect().await.unwrap()
}

/// Calls `inject` after every few adds, as long as more follow. Returns how often.
async fn during_adds(mut added: watch::Receiver<usize>, mut inject: impl AsyncFnMut()) -> usize {
    let faults = ADDS / ADDS_BETWEEN_FAULTS - 1;
    for fault in 1..=faults {
        let wait = added.wait_for(|added| *added >= fault * ADDS_BETWEEN_FAULTS);
        drop(
            tokio::time::timeout(HANG_LIMIT, wait)
                .await
                .unwrap()
                .unwrap(),
        );
        inject().await;
    }
    faults
}

async fn write(client: &Client, progress: &watch::Sender<usize>) -> Vec<String> {
    let mut ids = Vec::new();
    let mut in_flight = FuturesOrdered::new();
    for n in 0..ADDS {
        if in_flight.len() == IN_FLIGHT {
            ids.push(in_flight.next().await.unwrap());
            progress.send_replace(ids.len());
        }
        in_flight.push_back(async move {
            let fields = vec![("n".to_owned(), n.to_string())];
            client.stream_add("s", fields, None).await.unwrap()
        });
    }
    ids.extend(in_flight.collect::<Vec<_>>().await);
    ids
}

async fn read_tail(client: &Client) -> Vec<String> {
    seen(client.tail("s", TailFrom::Beginning)).await
}

async fn seen(mut tail: Tail) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < ADDS {
        match tail.next().await.unwrap().unwrap() {
            TailItem::Entries { entries, .. } => {
                seen.extend(entries.into_iter().map(|entry| entry.id))
            }
            other => panic!("{other:?}"),
        }
    }
    seen
}

async fn consume(client: &Client) -> Vec<String> {
    let options = ConsumeOptions::default().batch(16);
    let mut deliveries = client.consume("s", "g", "c", options);
    let mut delivered = Vec::new();
    while delivered.len() < ADDS {
        let batch = deliveries.next().await.unwrap().unwrap();
        let ids: Vec<String> = batch.into_iter().map(|entry| entry.id).collect();
        acknowledge(client, "g", &ids).await;
        delivered.extend(ids);
    }
    delivered
}

/// Consumes another group by reads, some of which wait.
async fn read_group(client: &Client, group: &str) -> Vec<String> {
    let mut delivered = Vec::new();
    while delivered.len() < ADDS {
        let block_ms = (delivered.len() % 3 > 0).then_some(200);
        match client
            .stream_read_group("s", group, "c", 16, block_ms)
            .await
        {
            Ok(batch) => {
                let ids: Vec<String> = batch.into_iter().map(|(id, _)| id).collect();
                acknowledge(client, group, &ids).await;
                delivered.extend(ids);
            }
            Err(error) => assert_refused(&error),
        }
    }
    delivered
}

async fn acknowledge(client: &Client, group: &str, ids: &[String]) {
    while let Err(error) = client.stream_ack("s", group, ids).await {
        assert_refused(&error);
    }
}

/// Checks that a call changed nothing, so that the caller may retry it.
fn assert_refused(error: &CacheError) {
    assert_eq!(error.code(), "DISCONNECTED", "{error}");
}

fn value((_, fields): &StreamEntry) -> usize {
    assert_eq!(fields.len(), 1, "the one field that was sent");
    fields[0].1.parse().unwrap()
}

fn address(proxy: &Proxy) -> SocketAddr {
    proxy
        .http_url()
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .unwrap()
}

fn start_proxy(redis: &str) -> Proxy {
    Proxy::start(["--redis", redis]).unwrap()
}

/// Injects a random fault into the connections, and waits until it has cut one.
async fn inject_fault(relay: &Relay, random: &mut fastrand::Rng) {
    let before = relay.counts().cut;
    match random.u8(..5) {
        0 => _ = relay.cut(Cut::Reset),
        1 => _ = relay.cut(Cut::Close),
        2 => relay.set(
            Scope::Present,
            Direction::ToClient,
            Flow::CutAfter(random.u64(..400), Cut::Reset),
        ),
        3 => relay.set(
            Scope::Present,
            Direction::ToTarget,
            Flow::CutAfter(random.u64(..4_000), Cut::Reset),
        ),
        _ => relay.set(
            Scope::Present,
            Direction::ToClient,
            Flow::CutHalfway(Cut::Close),
        ),
    }
    relay
        .until(|counts| counts.cut > before || counts.open == 0)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_clients_are_cut_and_another_proxy_answers() {
    let redis = RedisServer::start(RedisVersion::V7_0).unwrap();
    let proxies = [start_proxy(&redis.url()), start_proxy(&redis.url())];
    let relay = Relay::start(address(&proxies[0])).await.unwrap();
    let clients = Clients::start(&relay).await;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let inject = async || {
        relay.set_target(address(&proxies[random.usize(..2)]));
        inject_fault(&relay, &mut random).await;
    };
    let faults = clients.during_adds(inject).await;
    relay.clear_faults();
    assert!(faults > 5, "only {faults} faults");
    clients.check(&redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_are_killed() {
    let redis = RedisServer::start(RedisVersion::V7_0).unwrap();
    let mut proxy = start_proxy(&redis.url());
    let relay = Relay::start(address(&proxy)).await.unwrap();
    let clients = Clients::start(&relay).await;
    let kill = async || {
        let next = start_proxy(&redis.url());
        relay.set_target(address(&next));
        std::mem::replace(&mut proxy, next).kill().unwrap();
    };
    let kills = clients.during_adds(kill).await;
    assert!(kills > 2, "only {kills} proxies were killed");
    clients.check(&redis).await;
    proxy.kill().unwrap();
}

/// Calls without a connection to Redis are refused and change nothing; the outcome of calls in
/// flight is found out; subscriptions continue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_the_proxy_to_redis_are_cut() {
    let redis = RedisServer::start(RedisVersion::V7_0).unwrap();
    let to_redis = Relay::start(([127, 0, 0, 1], redis.port()).into())
        .await
        .unwrap();
    let proxy = start_proxy(&format!("redis://{}", to_redis.address()));
    let url = proxy.ws_url();
    let clients = [(); 4].map(|()| connect(&url));
    let [writer, tail, consumer, reader] = futures_util::future::join_all(clients)
        .await
        .try_into()
        .unwrap();
    for group in ["g", "h"] {
        writer.stream_create_group("s", group, "0").await.unwrap();
    }
    let tail = tokio::spawn(async move { read_tail(&tail).await });
    let consumer = tokio::spawn(async move { consume(&consumer).await });
    let reader = tokio::spawn(async move { read_group(&reader, "h").await });
    let (progress, added) = watch::channel(0);
    let writer = tokio::spawn(async move {
        let mut refusals = 0;
        for n in 0..ADDS {
            progress.send_replace(n);
            let fields = || vec![("n".to_owned(), n.to_string())];
            while let Err(error) = writer.stream_add("s", fields(), None).await {
                assert_refused(&error);
                refusals += 1;
            }
        }
        refusals
    });
    let mut kinds = [Cut::Reset, Cut::Close].into_iter().cycle();
    let inject = async || {
        // Read before the cut, because the connection may come back at once.
        let accepted_again = to_redis.counts().accepted + 1;
        to_redis.cut(kinds.next().unwrap());
        to_redis
            .until(|counts| counts.accepted >= accepted_again)
            .await
            .unwrap();
    };
    let faults = during_adds(added, inject).await;
    let refusals = writer.await.unwrap();
    println!("{faults} cuts, {refusals} adds refused");
    assert!(faults > 5, "only {faults} faults");
    let direct = streamgate_redis::RedisStreams::connect(&redis.url())
        .await
        .unwrap();
    let entries = direct.stream_read("s", "0", 0, None).await.unwrap();
    let values: Vec<_> = entries.iter().map(value).collect();
    assert_eq!(values, (0..ADDS).collect::<Vec<_>>(), "each once, in order");
    let stored: Vec<_> = entries.into_iter().map(|(id, _)| id).collect();
    assert_eq!(end(tail).await, stored, "what the tail saw");
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    // A recovered entry may come after later ones.
    let stored = sorted(stored);
    assert_eq!(sorted(end(consumer).await), stored, "what the consumer got");
    assert_eq!(sorted(end(reader).await), stored, "what the reader got");
}

async fn end(task: JoinHandle<Vec<String>>) -> Vec<String> {
    tokio::time::timeout(HANG_LIMIT, task)
        .await
        .unwrap()
        .unwrap()
}
