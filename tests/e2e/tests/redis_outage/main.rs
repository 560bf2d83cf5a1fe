//! An outage of Redis behind a server, as clients see it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use streamgate_client::{
    Client, ConnectionState, ConsumeOptions, Entry, EntryOperations, Retry, StreamingBackend,
    SubscribingBackend, Tail, TailFrom, TailItem,
};
use streamgate_test_support::relay::{Cut, Relay};
use streamgate_test_support::{Proxy, RedisServer, RedisVersion};
use tokio::sync::watch;

/// Catches hangs: far more than anything here takes.
const HANG_LIMIT: Duration = Duration::from_secs(20);

/// Adds before the outage, and after it.
const ADDS_BETWEEN_EVENTS: usize = 500;

/// Attempts of the server to reach Redis during the outage. With their pauses they take seconds.
const RECONNECT_ATTEMPTS: u64 = 8;

/// The value of the last entry.
const END: &str = "end";

fn fields(n: usize) -> Vec<(String, String)> {
    vec![("n".to_owned(), n.to_string())]
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG_LIMIT, future).await.unwrap()
}

async fn next_ids(tail: &mut Tail) -> Vec<String> {
    match in_time(tail.next()).await.unwrap().unwrap() {
        TailItem::Entries { entries, .. } => entries.into_iter().map(|entry| entry.id).collect(),
        other => panic!("{other:?}"),
    }
}

async fn wait_until_degraded(client: &Client) -> (String, String) {
    match in_time(client.state_changed(&ConnectionState::Open)).await {
        ConnectionState::Degraded { code, message } => (code, message),
        other => panic!("{other:?}"),
    }
}

async fn wait_until_open(client: &Client) {
    while client.state() != ConnectionState::Open {
        let seen = client.state();
        let state = in_time(client.state_changed(&seen)).await;
        let stays = matches!(
            state,
            ConnectionState::Open | ConnectionState::Degraded { .. }
        );
        assert!(stays, "{state:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_reports_that_redis_was_killed_and_restarted() {
    let mut redis = RedisServer::start(RedisVersion::V7_0).unwrap();
    let proxy = Proxy::start(["--redis", &redis.url()]).unwrap();
    let client = Client::connect(&proxy.ws_url()).await.unwrap();
    let mut tail = client.tail("s", TailFrom::Now);
    assert_eq!(
        next_ids(&mut tail).await,
        [""; 0],
        "the first item has only the position"
    );
    assert_eq!(client.state(), ConnectionState::Open);

    redis.kill().unwrap();
    let (code, message) = wait_until_degraded(&client).await;
    assert_eq!(code, "DISCONNECTED");
    assert!(!message.is_empty());
    let refused = in_time(client.stream_add("s", fields(1), None)).await;
    assert_eq!(refused.unwrap_err().retry(), Retry::Later);
    // A new connection to the same server becomes degraded too.
    let other = Client::connect(&proxy.ws_url()).await.unwrap();
    wait_until_degraded(&other).await;
    // A tail that is opened during the outage starts after it.
    let mut late = other.tail("s", TailFrom::Beginning);
    let waiting = tokio::spawn(async move { next_ids(&mut late).await });

    redis.restart().unwrap();
    wait_until_open(&client).await;
    wait_until_open(&other).await;
    let id = in_time(client.stream_add("s", fields(2), None))
        .await
        .unwrap();
    assert_eq!(next_ids(&mut tail).await, [&*id]);
    in_time(waiting).await.unwrap();
    in_time(client.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adds_and_subscriptions_survive_an_outage_of_seconds() {
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
    assert_eq!(
        next_ids(&mut tail).await,
        [""; 0],
        "the first item has only the position"
    );
    let followed = tokio::spawn(read_tail(tail));
    let consumed = tokio::spawn(consume(client.clone()));
    let read = tokio::spawn(read_group(client.clone()));
    let (progress, mut added) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let written = tokio::spawn(write(client.clone(), progress, stopped));

    in_time(added.wait_for(|added| *added >= ADDS_BETWEEN_EVENTS))
        .await
        .unwrap();
    to_redis.refuse(true);
    to_redis.cut(Cut::Reset);
    wait_until_degraded(&client).await;
    let attempts = to_redis.counts().refused + RECONNECT_ATTEMPTS;
    to_redis
        .until(|counts| counts.refused >= attempts)
        .await
        .unwrap();
    to_redis.clear_faults();
    wait_until_open(&client).await;
    let enough = *added.borrow() + ADDS_BETWEEN_EVENTS;
    in_time(added.wait_for(|added| *added >= enough))
        .await
        .unwrap();
    stop.send_replace(true);
    let written = in_time(written).await.unwrap();

    let direct = streamgate_redis::RedisStreams::connect(&redis.url())
        .await
        .unwrap();
    let stored = direct.read_entries("s", "0", 0, None).await.unwrap();
    assert_eq!(values(&stored), written, "every successful add, once");
    assert_eq!(
        in_time(followed).await.unwrap(),
        written,
        "what the tail saw"
    );
    let sorted = |mut values: Vec<String>| {
        values.sort();
        values
    };
    // A recovered entry may come after later ones.
    let written = sorted(written);
    assert_eq!(sorted(in_time(consumed).await.unwrap()), written);
    assert_eq!(sorted(in_time(read).await.unwrap()), written);
}

/// Adds, many at once, until it is stopped. Returns the values of successful adds, the last of
/// which is `END`. A refused add must not be stored.
async fn write(
    client: Client,
    progress: watch::Sender<usize>,
    stopped: watch::Receiver<bool>,
) -> Vec<String> {
    let mut added = Vec::new();
    let mut n = 0;
    while !*stopped.borrow() {
        let adds = (n..n + 16).map(|n| client.stream_add("s", fields(n), None));
        for result in in_time(join_all(adds)).await {
            match result {
                Ok(_) => added.push(n.to_string()),
                Err(error) => assert_eq!(error.retry(), Retry::Later, "{error}"),
            }
            n += 1;
        }
        progress.send_replace(added.len());
    }
    let end = vec![("n".to_owned(), END.to_owned())];
    in_time(client.stream_add("s", end, None)).await.unwrap();
    added.push(END.to_owned());
    added
}

async fn read_tail(mut tail: Tail) -> Vec<String> {
    let mut seen = Vec::new();
    while !has_end(&seen) {
        match in_time(tail.next()).await.unwrap().unwrap() {
            TailItem::Entries { entries, .. } => seen.extend(values(&entries)),
            other => panic!("{other:?}"),
        }
    }
    seen
}

async fn consume(client: Client) -> Vec<String> {
    let options = ConsumeOptions::default().batch(16).claim_after_ms(60_000);
    let mut deliveries = client.consume("s", "g", "c", options);
    let mut delivered = Vec::new();
    while !has_end(&delivered) {
        delivered.extend(values(&in_time(deliveries.next()).await.unwrap().unwrap()));
    }
    delivered
}

async fn read_group(client: Client) -> Vec<String> {
    let mut delivered = Vec::new();
    while !has_end(&delivered) {
        match in_time(client.read_group_entries("s", "h", "c", 16, Some(500))).await {
            Ok(entries) => delivered.extend(values(&entries)),
            Err(error) => assert_eq!(error.retry(), Retry::Later, "{error}"),
        }
    }
    delivered
}

/// Whether the last entry has come. Recovered entries come before it.
fn has_end(values: &[String]) -> bool {
    values.iter().any(|value| value == END)
}

fn values(entries: &[Entry]) -> Vec<String> {
    let value = |entry: &Entry| entry.fields[0].1.to_string();
    entries.iter().map(value).collect()
}
