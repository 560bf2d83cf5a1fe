//! A shutdown of the command `streamgate` by SIGTERM, as its clients see it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::time::{Duration, Instant};

use futures_util::future::select_all;
use streamgate_client::{Client, ConnectionState, StreamingBackend};
use streamgate_test_support::Proxy;

/// Catches hangs: far more than a busy machine needs.
const HANG_LIMIT: Duration = Duration::from_secs(20);

/// Returns connected clients.
async fn clients(proxy: &Proxy, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = Client::connect(&proxy.ws_url()).await.unwrap();
        client.stream_read_latest("s", 1).await.unwrap();
        clients.push(client);
    }
    clients
}

/// Waits until a client loses its connection, and returns the close code.
async fn close_code(client: &Client) -> u16 {
    let state = client.state_changed(&ConnectionState::Open);
    match tokio::time::timeout(HANG_LIMIT, state).await.unwrap() {
        ConnectionState::Reconnecting { code, .. } | ConnectionState::Closed { code, .. } => code,
        state => panic!("{state:?}"),
    }
}

async fn exit_status(proxy: Proxy) -> std::process::ExitStatus {
    let waiting = tokio::task::spawn_blocking(|| proxy.wait());
    waiting.await.unwrap().unwrap()
}

#[tokio::test]
async fn sigterm_closes_clients_one_after_the_other() {
    const PERIOD: Duration = Duration::from_secs(2);
    const CLIENTS: u32 = 4;
    let proxy = Proxy::start(["--drain-ms", "2000"]).unwrap();
    let clients = clients(&proxy, CLIENTS as usize).await;
    let start = Instant::now();
    proxy.request_shutdown().unwrap();
    let mut waiting: Vec<_> = clients
        .iter()
        .map(|client| Box::pin(close_code(client)))
        .collect();
    let mut times = Vec::new();
    while !waiting.is_empty() {
        let (code, _, rest) = select_all(waiting).await;
        assert_eq!(code, 1001);
        times.push(start.elapsed());
        waiting = rest;
    }
    for (index, time) in (0..).zip(times) {
        assert!(time >= PERIOD * index / CLIENTS, "{index}: {time:?}");
    }
    assert!(exit_status(proxy).await.success());
}

#[tokio::test]
async fn a_second_sigterm_ends_the_server_at_once() {
    let proxy = Proxy::start(["--drain-ms", "600000"]).unwrap();
    let clients = clients(&proxy, 2).await;
    proxy.request_shutdown().unwrap();
    let first: Vec<_> = clients
        .iter()
        .map(|client| Box::pin(close_code(client)))
        .collect();
    let (code, place, rest) = select_all(first).await;
    assert_eq!(code, 1001, "the shutdown has begun");
    let other = &clients[1 - place];
    assert_eq!(other.state(), ConnectionState::Open);
    // The server still serves this client, and accepts no new one.
    other.stream_read_latest("s", 1).await.unwrap();
    assert!(Client::connect(&proxy.ws_url()).await.is_err());
    proxy.request_shutdown().unwrap();
    let (code, _, _) = select_all(rest).await;
    assert_eq!(code, 1006, "there was no time for a close frame");
    assert_eq!(exit_status(proxy).await.code(), Some(1));
}
