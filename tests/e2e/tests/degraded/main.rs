//! A Redis that goes away and comes back behind a server, as clients see it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use streamgate_client::{
    Client, ConnectionState, ConsumeOptions, Retry, StreamEntry, StreamingBackend,
    SubscribingBackend, Tail, TailFrom, TailItem,
};
use streamgate_test_support::relay::{Cut, Relay};
use streamgate_test_support::{Proxy, RedisServer, RedisVersion};

/// Longest wait for anything: far more than it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The value of the last entry.
const END: &str = "end";

fn fields(n: usize) -> Vec<(String, String)> {
    vec![("n".to_owned(), n.to_string())]
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

async fn next_ids(tail: &mut Tail) -> Vec<String> {
    match soon(tail.next()).await.unwrap().unwrap() {
        TailItem::Entries { entries, .. } => entries.into_iter().map(|(id, _)| id).collect(),
        other => panic!("{other:?}"),
    }
}

async fn degraded(client: &Client) -> (String, String) {
    match soon(client.state_changed(&ConnectionState::Open)).await {
        ConnectionState::Degraded { code, message } => (code, message),
        other => panic!("{other:?}"),
    }
}

async fn open(client: &Client) {
    while client.state() != ConnectionState::Open {
        let seen = client.state();
        let state = soon(client.state_changed(&seen)).await;
        let stays = matches!(
            state,
            ConnectionState::Open | ConnectionState::Degraded { .. }
        );
        assert!(stays, "{state:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_says_that_redis_was_killed_and_started_again() {
    let mut redis = RedisServer::start(RedisVersion::V7_0).unwrap();
    let proxy = Proxy::start(["--redis", &redis.url()]).unwrap();
    let client = Client::connect(&proxy.ws_url()).await.unwrap();
    let mut tail = client.tail("s", TailFrom::Now);
    assert_eq!(next_ids(&mut tail).await, [""; 0], "it stands");
    assert_eq!(client.state(), ConnectionState::Open);

    redis.kill().unwrap();
    let (code, message) = degraded(&client).await;
    assert_eq!(code, "DISCONNECTED");
    assert!(!message.is_empty());
    let refused = soon(client.stream_add("s", fields(1), None)).await;
    assert_eq!(refused.unwrap_err().retry(), Retry::Later);
    // Another connection to the same server learns of it too.
    let other = Client::connect(&proxy.ws_url()).await.unwrap();
    degraded(&other).await;
    // So do those that begin while it is away: they begin when it is back.
    let mut late = other.tail("s", TailFrom::Beginning);
    let waiting = tokio::spawn(async move { next_ids(&mut late).await });

    redis.restart().unwrap();
    open(&client).await;
    open(&other).await;
    let id = soon(client.stream_add("s", fields(2), None)).await.unwrap();
    assert_eq!(next_ids(&mut tail).await, [&*id]);
    soon(waiting).await.unwrap();
    soon(client.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_outlives_a_redis_that_is_away_for_seconds() {
    let redis = RedisServer::start(RedisVersion::V7_0).unwrap();
    let to_redis = Relay::start(([127, 0, 0, 1], redis.port()).into())
        .await
        .unwrap();
    let proxy = Proxy::start(["--redis", &format!("redis://{}", to_redis.address())]).unwrap();
    let client = Client::connect(&proxy.ws_url()).await.unwrap();
    for group in ["g", "h"] {
        client.stream_create_group("s", group, "0").await.unwrap();
    }
    let mut tail = client.tail("s", TailFrom::Beginning);
    assert_eq!(next_ids(&mut tail).await, [""; 0], "it stands");
    let followed = tokio::spawn(follow(tail));
    let consumed = tokio::spawn(consume(client.clone()));
    let read = tokio::spawn(read(client.clone()));
    let enough = Arc::new(AtomicBool::new(false));
    let written = tokio::spawn(write(client.clone(), Arc::clone(&enough)));

    tokio::time::sleep(Duration::from_millis(100)).await;
    to_redis.refuse(true);
    to_redis.cut(Cut::Reset);
    degraded(&client).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    to_redis.clear_faults();
    open(&client).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    enough.store(true, Ordering::SeqCst);
    let written = soon(written).await.unwrap();

    let direct = streamgate_redis::RedisStreams::connect(&redis.url())
        .await
        .unwrap();
    let there = direct.stream_read("s", "0", 0, None).await.unwrap();
    assert_eq!(values(&there), written, "what was added, each once");
    assert_eq!(soon(followed).await.unwrap(), written, "what the tail saw");
    let sorted = |mut values: Vec<String>| {
        values.sort();
        values
    };
    // What was lost and found may come behind what came meanwhile.
    let written = sorted(written);
    assert_eq!(sorted(soon(consumed).await.unwrap()), written);
    assert_eq!(sorted(soon(read).await.unwrap()), written);
}

/// Adds, many at once, until it is enough; gives what was added, the last of all `END`. What is
/// refused was not.
async fn write(client: Client, enough: Arc<AtomicBool>) -> Vec<String> {
    let mut added = Vec::new();
    let mut n = 0;
    while !enough.load(Ordering::SeqCst) {
        let adds = (n..n + 16).map(|n| client.stream_add("s", fields(n), None));
        for result in soon(join_all(adds)).await {
            match result {
                Ok(_) => added.push(n.to_string()),
                Err(error) => assert_eq!(error.retry(), Retry::Later, "{error}"),
            }
            n += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let end = vec![("n".to_owned(), END.to_owned())];
    soon(client.stream_add("s", end, None)).await.unwrap();
    added.push(END.to_owned());
    added
}

async fn follow(mut tail: Tail) -> Vec<String> {
    let mut seen = Vec::new();
    while !is_over(&seen) {
        match soon(tail.next()).await.unwrap().unwrap() {
            TailItem::Entries { entries, .. } => seen.extend(values(&entries)),
            other => panic!("{other:?}"),
        }
    }
    seen
}

async fn consume(client: Client) -> Vec<String> {
    let options = ConsumeOptions::default().batch(16).claim_after_ms(60_000);
    let mut deliveries = client.consume("s", "g", "c", options);
    let mut given = Vec::new();
    while !is_over(&given) {
        given.extend(values(&soon(deliveries.next()).await.unwrap().unwrap()));
    }
    given
}

async fn read(client: Client) -> Vec<String> {
    let mut given = Vec::new();
    while !is_over(&given) {
        match soon(client.stream_read_group("s", "h", "c", 16, Some(500))).await {
            Ok(entries) => given.extend(values(&entries)),
            Err(error) => {
                assert_eq!(error.retry(), Retry::Later, "{error}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    given
}

/// Nothing is lost that comes before the last, for what is looked for comes first.
fn is_over(values: &[String]) -> bool {
    values.iter().any(|value| value == END)
}

fn values(entries: &[StreamEntry]) -> Vec<String> {
    let value = |(_, fields): &StreamEntry| fields[0].1.clone();
    entries.iter().map(value).collect()
}
