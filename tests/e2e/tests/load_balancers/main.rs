//! Several servers behind nginx and behind HAProxy, with the files of `deploy/`: no client is bound to
//! one of them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, try_join_all};
use streamgate_client::{
    Client, ConnectionState, ConsumeOptions, Entry, StreamingBackend, SubscribingBackend, TailFrom,
    TailItem,
};
use streamgate_test_support::{
    Authority, Balancer, LoadBalancer, Proxy, RedisServer, RedisVersion,
};
use tokio::sync::watch;

/// Catches hangs: far more than anything here takes.
const HANG_LIMIT: Duration = Duration::from_secs(60);

/// Enough that each server has some.
const CLIENTS: usize = 6;

/// Adds of each client before a server is killed, and after it.
const ADDS: usize = 100;

/// The value of the last entry.
const END: &str = "end";

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG_LIMIT, future).await.unwrap()
}

fn start_server(redis: &RedisServer) -> Proxy {
    let url = redis.url();
    let arguments = [
        "--redis",
        &url,
        "--behind-tls-proxy",
        "--trusted-proxy",
        "127.0.0.1",
        "--admin-listen",
        "off",
        "--public-origin",
        "https://streams.example.com",
    ];
    Proxy::start(arguments).unwrap()
}

async fn add(client: &Client, value: &str) {
    let fields = vec![("v".to_owned(), value.to_owned())];
    in_time(client.stream_add("s", fields, None)).await.unwrap();
}

async fn write(client: &Client, number: usize, adds: std::ops::Range<usize>) {
    for n in adds {
        add(client, &format!("{number}-{n}")).await;
    }
}

async fn read_tail(client: Client) -> Vec<String> {
    let mut tail = client.tail("s", TailFrom::Beginning);
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
    let options = ConsumeOptions::default().claim_after_ms(60_000);
    let mut deliveries = client.consume("s", "g", "c", options);
    let mut delivered = Vec::new();
    while !has_end(&delivered) {
        delivered.extend(values(&in_time(deliveries.next()).await.unwrap().unwrap()));
    }
    delivered
}

fn has_end(values: &[String]) -> bool {
    values.iter().any(|value| value == END)
}

fn values(entries: &[Entry]) -> Vec<String> {
    let value = |entry: &Entry| entry.fields[0].1.to_string();
    entries.iter().map(value).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_killed_server_go_on_at_the_other_and_lose_nothing() {
    for balancer in Balancer::ALL {
        let redis = RedisServer::start(RedisVersion::V7_0).unwrap();
        let [killed, other] = [start_server(&redis), start_server(&redis)];
        let address = |server: &Proxy| server.http_url().replace("http://", "");
        let authority = Authority::new().unwrap();
        let addresses = [address(&killed), address(&other)];
        let [first, second] = addresses.each_ref().map(|it| &**it);
        let before = LoadBalancer::start(balancer, [first, second], &authority).unwrap();
        let connect = |_| {
            let client = Client::builder(&before.ws_url());
            client.root_certificates(authority.certificate()).connect()
        };
        let clients = try_join_all((0..CLIENTS).map(connect)).await.unwrap();
        clients[0].stream_create_group("s", "g", "0").await.unwrap();
        let tail = tokio::spawn(read_tail(clients[0].clone()));
        let consumer = tokio::spawn(consume(clients[1].clone()));
        let (lost, mut has_lost) = watch::channel(0);
        for client in &clients {
            let (client, lost) = (client.clone(), lost.clone());
            tokio::spawn(async move {
                client.state_changed(&ConnectionState::Open).await;
                lost.send_modify(|lost| *lost += 1);
            });
        }

        let numbered = || clients.iter().enumerate();
        join_all(numbered().map(|(number, client)| write(client, number, 0..ADDS))).await;
        assert_eq!(*has_lost.borrow(), 0, "{balancer:?} closed a socket");
        let after = numbered().map(|(number, client)| write(client, number, ADDS..2 * ADDS));
        let (_, ()) = tokio::join!(join_all(after), async {
            killed.kill().unwrap();
            in_time(has_lost.wait_for(|lost| *lost > 0)).await.unwrap();
        });
        let lost = *has_lost.borrow();
        assert!(lost < CLIENTS, "{balancer:?} had all clients at one server");

        add(&clients[0], END).await;
        let mut expected: Vec<_> = (0..CLIENTS)
            .flat_map(|number| (0..2 * ADDS).map(move |n| format!("{number}-{n}")))
            .chain([END.to_owned()])
            .collect();
        expected.sort_unstable();
        for mut seen in [
            in_time(tail).await.unwrap(),
            in_time(consumer).await.unwrap(),
        ] {
            seen.sort_unstable();
            assert_eq!(seen, expected, "{balancer:?}");
        }
    }
}
