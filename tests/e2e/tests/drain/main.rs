//! The command `streamgate` is told to end, as its clients see it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::time::{Duration, Instant};

use futures_util::future::select_all;
use streamgate_client::{Client, ConnectionState, StreamingBackend};
use streamgate_test_support::Proxy;

/// Far above what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clients that are connected.
async fn clients(proxy: &Proxy, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = Client::connect(&proxy.ws_url()).await.unwrap();
        client.stream_read_latest("s", 1).await.unwrap();
        clients.push(client);
    }
    clients
}

/// The code with which a client lost its connection.
async fn lost(client: &Client) -> u16 {
    let state = client.state_changed(&ConnectionState::Open);
    match tokio::time::timeout(PATIENCE, state).await.unwrap() {
        ConnectionState::Reconnecting { code, .. } | ConnectionState::Closed { code, .. } => code,
        state => panic!("{state:?}"),
    }
}

async fn ended(proxy: Proxy) -> std::process::ExitStatus {
    let waiting = tokio::task::spawn_blocking(|| proxy.wait());
    waiting.await.unwrap().unwrap()
}

#[tokio::test]
async fn on_sigterm_clients_are_told_one_after_the_other() {
    const PERIOD: Duration = Duration::from_secs(2);
    const CLIENTS: u32 = 4;
    let proxy = Proxy::start(["--drain-ms", "2000"]).unwrap();
    let clients = clients(&proxy, CLIENTS as usize).await;
    let start = Instant::now();
    proxy.request_shutdown().unwrap();
    let mut waiting: Vec<_> = clients
        .iter()
        .map(|client| Box::pin(lost(client)))
        .collect();
    let mut times = Vec::new();
    while !waiting.is_empty() {
        let (code, _, rest) = select_all(waiting).await;
        assert_eq!(code, 1001);
        times.push(start.elapsed());
        waiting = rest;
    }
    for (place, time) in (0..).zip(times) {
        assert!(time >= PERIOD * place / CLIENTS, "{place}: {time:?}");
    }
    assert!(ended(proxy).await.success());
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let proxy = Proxy::start(["--drain-ms", "600000"]).unwrap();
    let clients = clients(&proxy, 2).await;
    proxy.request_shutdown().unwrap();
    let first: Vec<_> = clients
        .iter()
        .map(|client| Box::pin(lost(client)))
        .collect();
    let (code, place, rest) = select_all(first).await;
    assert_eq!(code, 1001, "the drain has begun");
    let other = &clients[1 - place];
    assert_eq!(other.state(), ConnectionState::Open);
    // It still serves, and accepts nobody.
    other.stream_read_latest("s", 1).await.unwrap();
    assert!(Client::connect(&proxy.ws_url()).await.is_err());
    proxy.request_shutdown().unwrap();
    let (code, _, _) = select_all(rest).await;
    assert_eq!(code, 1006, "there was no time to tell");
    assert_eq!(ended(proxy).await.code(), Some(1));
}
