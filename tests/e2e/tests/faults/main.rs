//! Nothing lost and nothing doubled, with real processes: connections that are cut in the middle
//! of an answer, proxies that are killed, and a Redis that goes away.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use streamgate_client::{
    CacheError, Client, ConsumeOptions, StreamEntry, StreamingBackend, SubscribingBackend, Tail,
    TailFrom, TailItem,
};
use streamgate_test_support::relay::{Cut, Direction, Flow, Relay, Scope};
use streamgate_test_support::{Proxy, RedisServer, RedisVersion};
use tokio::task::JoinHandle;

/// Adds of each test, and how many of them are in flight at once.
const ADDS: usize = 3_000;
const IN_FLIGHT: usize = 64;

/// One of each: a writer, a tail and a consumer that acknowledges, each with a connection of its
/// own through the relay.
struct Clients {
    writer: JoinHandle<Vec<String>>,
    tail: JoinHandle<Vec<String>>,
    consumer: JoinHandle<Vec<String>>,
    done: Arc<AtomicBool>,
}

impl Clients {
    async fn start(relay: &Relay) -> Self {
        let url = format!("ws://{}/v1/ws", relay.address());
        let writer = connect(&url).await;
        writer.stream_create_group("s", "g", "0").await.unwrap();
        let tail = connect(&url).await;
        let consumer = connect(&url).await;
        let done = Arc::new(AtomicBool::new(false));
        let written = Arc::clone(&done);
        Self {
            done,
            writer: tokio::spawn(async move {
                let ids = write(&writer).await;
                written.store(true, Ordering::SeqCst);
                ids
            }),
            tail: tokio::spawn(async move { follow(&tail).await }),
            consumer: tokio::spawn(async move { consume(&consumer).await }),
        }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits for the end of all, and compares what they saw with what is in Redis.
    async fn check(self, redis: &RedisServer) {
        let limit = Duration::from_secs(60);
        let ids = tokio::time::timeout(limit, self.writer)
            .await
            .unwrap()
            .unwrap();
        let direct = streamgate_redis::RedisStreams::connect(&redis.url())
            .await
            .unwrap();
        let entries = direct.stream_read("s", "0", 0, None).await.unwrap();
        let there: Vec<_> = entries.iter().map(|(id, _)| id.clone()).collect();
        let values: Vec<_> = entries.iter().map(value).collect();
        assert_eq!(
            values,
            (0..ADDS).collect::<Vec<_>>(),
            "each once, in the writer's order"
        );
        assert_eq!(ids, there, "the ids that the writer was told");
        let seen = tokio::time::timeout(limit, self.tail)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(seen, there, "what the tail saw");
        let given = tokio::time::timeout(limit, self.consumer)
            .await
            .unwrap()
            .unwrap();
        let once: BTreeSet<_> = given.iter().collect();
        assert_eq!(
            (given.len(), once.len()),
            (ADDS, ADDS),
            "what the consumer was given"
        );
    }
}

async fn connect(url: &str) -> Client {
    let backoff = (Duration::from_millis(5), Duration::from_millis(100));
    let builder = Client::builder(url).backoff(backoff.0, backoff.1);
    builder.connect().await.unwrap()
}

async fn write(client: &Client) -> Vec<String> {
    let mut ids = Vec::new();
    let mut in_flight = FuturesOrdered::new();
    for n in 0..ADDS {
        if in_flight.len() == IN_FLIGHT {
            ids.push(in_flight.next().await.unwrap());
        }
        in_flight.push_back(async move {
            let fields = vec![("n".to_owned(), n.to_string())];
            client.stream_add("s", fields, None).await.unwrap()
        });
        // As a program that has something else to do now and then.
        if n % 8 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    ids.extend(in_flight.collect::<Vec<_>>().await);
    ids
}

async fn follow(client: &Client) -> Vec<String> {
    seen(client.tail("s", TailFrom::Beginning)).await
}

async fn seen(mut tail: Tail) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < ADDS {
        match tail.next().await.unwrap().unwrap() {
            TailItem::Entries { entries, .. } => seen.extend(entries.into_iter().map(|(id, _)| id)),
            other => panic!("{other:?}"),
        }
    }
    seen
}

async fn consume(client: &Client) -> Vec<String> {
    let options = ConsumeOptions::default().batch(16);
    let mut deliveries = client.consume("s", "g", "c", options);
    let mut given = Vec::new();
    while given.len() < ADDS {
        let batch = deliveries.next().await.unwrap().unwrap();
        let ids: Vec<String> = batch.into_iter().map(|(id, _)| id).collect();
        acknowledge(client, "g", &ids).await;
        given.extend(ids);
    }
    given
}

/// The same by reads of another group, with waits and without.
async fn read(client: &Client, group: &str) -> Vec<String> {
    let mut given = Vec::new();
    while given.len() < ADDS {
        let block_ms = (given.len() % 3 > 0).then_some(200);
        match client
            .stream_read_group("s", group, "c", 16, block_ms)
            .await
        {
            Ok(batch) => {
                let ids: Vec<String> = batch.into_iter().map(|(id, _)| id).collect();
                acknowledge(client, group, &ids).await;
                given.extend(ids);
            }
            Err(error) => refused(&error).await,
        }
    }
    given
}

async fn acknowledge(client: &Client, group: &str, ids: &[String]) {
    while let Err(error) = client.stream_ack("s", group, ids).await {
        refused(&error).await;
    }
}

/// Nothing was done, and the caller tries again.
async fn refused(error: &CacheError) {
    assert_eq!(error.code(), "DISCONNECTED", "{error}");
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn value((_, fields): &StreamEntry) -> usize {
    assert_eq!(fields.len(), 1, "nothing but what was sent");
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

/// Some faults of connections, one after the other.
async fn disturb(relay: &Relay, random: &mut fastrand::Rng) {
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
    let mut faults = 0;
    while !clients.is_done() {
        relay.set_target(address(&proxies[random.usize(..2)]));
        disturb(&relay, &mut random).await;
        faults += 1;
        tokio::time::sleep(Duration::from_millis(random.u64(5..60))).await;
    }
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
    let mut kills = 0;
    while !clients.is_done() {
        let next = start_proxy(&redis.url());
        relay.set_target(address(&next));
        proxy.kill().unwrap();
        proxy = next;
        kills += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(kills > 2, "only {kills} proxies were killed");
    clients.check(&redis).await;
    proxy.kill().unwrap();
}

/// What is asked for while there is no connection is refused, with nothing done; what was under way
/// is found out, and subscriptions go on.
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
    let tail = tokio::spawn(async move { follow(&tail).await });
    let consumer = tokio::spawn(async move { consume(&consumer).await });
    let reader = tokio::spawn(async move { read(&reader, "h").await });
    let writer = tokio::spawn(async move {
        let mut refusals = 0;
        for n in 0..ADDS {
            let fields = || vec![("n".to_owned(), n.to_string())];
            while let Err(error) = writer.stream_add("s", fields(), None).await {
                refused(&error).await;
                refusals += 1;
            }
        }
        refusals
    });
    let mut faults = 0;
    while !writer.is_finished() {
        // Before the cut, or the first may have come again already.
        let open = to_redis.counts().accepted + 2;
        to_redis.cut(if faults % 2 == 0 {
            Cut::Reset
        } else {
            Cut::Close
        });
        faults += 1;
        to_redis
            .until(|counts| counts.accepted >= open)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let refusals = writer.await.unwrap();
    println!("{faults} cuts, {refusals} adds refused");
    assert!(faults > 5, "only {faults} faults");
    let direct = streamgate_redis::RedisStreams::connect(&redis.url())
        .await
        .unwrap();
    let entries = direct.stream_read("s", "0", 0, None).await.unwrap();
    let values: Vec<_> = entries.iter().map(value).collect();
    assert_eq!(values, (0..ADDS).collect::<Vec<_>>(), "each once, in order");
    let there: Vec<_> = entries.into_iter().map(|(id, _)| id).collect();
    assert_eq!(end(tail).await, there, "what the tail saw");
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    // What was lost and found may come behind what came meanwhile.
    let there = sorted(there);
    assert_eq!(sorted(end(consumer).await), there, "to the consumer");
    assert_eq!(sorted(end(reader).await), there, "to the reader");
}

async fn end(task: JoinHandle<Vec<String>>) -> Vec<String> {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, task).await.unwrap().unwrap()
}
