//! A lost connection as callers see it: the outcome of calls in flight, and of the calls that
//! follow.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use streamgate::{Config, Server};
use streamgate_backend::Backend;
use streamgate_client::{Client, ConnectionState, Retry, StreamingBackend};
use streamgate_memory::MemoryStreams;
use streamgate_test_support::Proxy;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

mod recreated_group;
mod refused;
mod slow_upload;

/// A server in this process, which can restart at the same address.
struct LocalServer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl LocalServer {
    async fn start(address: &str, backend: &MemoryStreams) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let backend: Arc<dyn Backend> = Arc::new(backend.clone());
        let server = Server::new(backend, Config::default()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(server.serve(listener, shutdown));
        Self {
            address,
            stop,
            serving,
        }
    }

    fn url(&self) -> String {
        format!("ws://{}/v1/ws", self.address)
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

fn fields(value: &str) -> Vec<(String, String)> {
    vec![("f".to_owned(), value.to_owned())]
}

/// Stops a process (`SIGSTOP`), and returns when all its threads have stopped.
fn pause(pid: u32) {
    let status = Command::new("kill")
        .args(["-STOP", &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let is_stopped = |thread: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
        // The state follows the name, which is in parentheses.
        stat.rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('T')
    };
    while !threads().all(is_stopped) {
        std::thread::yield_now();
    }
}

/// The server is stopped, so that all calls are surely in flight, and then killed.
#[tokio::test]
async fn calls_that_cannot_be_retried_say_whether_they_may_have_been_performed() {
    let proxy = Proxy::start::<&str>([]).unwrap();
    let builder = Client::builder(&proxy.ws_url()).queue_timeout(Duration::from_millis(300));
    let client = builder.connect().await.unwrap();
    client
        .stream_add("s", fields("before"), None)
        .await
        .unwrap();
    pause(proxy.pid());
    let calls = async {
        let read = client.stream_read("s", "$", 1, Some(0));
        let latest = client.stream_read_latest("s", 1);
        let add = client.stream_add("s", fields("lost"), None);
        let group = client.stream_create_group("s", "g", "0");
        let ids = ["1-0".to_owned()];
        let ack = client.stream_ack("s", "g", &ids);
        let take = client.stream_read_group("s", "g", "c", 1, Some(0));
        let (reads, others) =
            join(join(read, latest), join(join(add, group), join(ack, take))).await;
        let ((add, group), (ack, take)) = others;
        [
            reads.0.unwrap_err(),
            reads.1.unwrap_err(),
            add.unwrap_err(),
            group.unwrap_err(),
            ack.unwrap_err(),
            take.unwrap_err(),
        ]
    };
    let kill = async {
        // The calls are polled first, so they are in flight.
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(|| proxy.kill().unwrap())
            .await
            .unwrap()
    };
    let both = tokio::time::timeout(Duration::from_secs(5), join(calls, kill));
    let (errors, _) = both.await.expect("a call hangs");
    let codes = errors.each_ref().map(|error| error.code());
    let (read, other) = ("DISCONNECTED", "UNKNOWN_OUTCOME");
    assert_eq!(codes, [read, read, other, other, other, other]);
    assert_eq!(errors[0].retry(), Retry::Later);
    assert_eq!(errors[2].retry(), Retry::Unknown);
    assert!(matches!(
        client.state(),
        ConnectionState::Reconnecting { .. }
    ));
}

#[tokio::test]
async fn later_calls_wait_for_the_next_connection() {
    let backend = MemoryStreams::new();
    let server = LocalServer::start("127.0.0.1:0", &backend).await;
    let (address, url) = (server.address.to_string(), server.url());
    let client = Client::connect(&url).await.unwrap();
    let mut state = client.state();
    assert_eq!(state, ConnectionState::Open);
    server.stop().await;
    state = client.state_changed(&state).await;
    assert!(
        matches!(state, ConnectionState::Reconnecting { code: 1001, .. }),
        "{state:?}"
    );

    let adds = join_all((0..100).map(|i| client.stream_add("s", fields(&i.to_string()), None)));
    let restart = async { LocalServer::start(&address, &backend).await };
    let (added, server) = join(adds, restart).await;
    let added: Vec<String> = added.into_iter().map(Result::unwrap).collect();
    let read = client.stream_read("s", "0", 0, None).await.unwrap();
    let ids: Vec<String> = read.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, added, "each once, in the order of the calls");
    assert_eq!(client.state(), ConnectionState::Open);
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn without_a_server_calls_fail_in_time_and_change_nothing() {
    let backend = MemoryStreams::new();
    let server = LocalServer::start("127.0.0.1:0", &backend).await;
    let builder = Client::builder(&server.url()).queue_timeout(Duration::from_millis(300));
    let client = builder.connect().await.unwrap();
    server.stop().await;
    let error = client.stream_add("s", fields("v"), None).await.unwrap_err();
    assert_eq!(
        (error.code(), error.retry()),
        ("DISCONNECTED", Retry::Later)
    );
    assert_eq!(backend.stream_read_latest("s", 1).await.unwrap(), []);
}

/// A server stores an add of one of them only, and ends the other's connection, if they share an
/// identity.
#[tokio::test]
async fn two_clients_with_the_same_settings_both_add() {
    let server = LocalServer::start("127.0.0.1:0", &MemoryStreams::new()).await;
    let settings = Client::builder(&server.url());
    let clients = [
        settings.clone().connect().await.unwrap(),
        settings.connect().await.unwrap(),
    ];
    for client in &clients {
        client.stream_add("s", fields("v"), None).await.unwrap();
    }
    let entries = clients[0].stream_read("s", "0", 0, None).await.unwrap();
    assert_eq!(entries.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn the_first_connection_fails_if_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/ws", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(
        Client::connect(&url).await.unwrap_err().code(),
        "DISCONNECTED"
    );
    for wrong in ["http//:no", "http://localhost", "wss://"] {
        assert_eq!(
            Client::connect(wrong).await.unwrap_err().code(),
            "CONFIG",
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn calls_of_a_closed_client_fail_with_closed() {
    let backend = MemoryStreams::new();
    let server = LocalServer::start("127.0.0.1:0", &backend).await;
    let client = Client::connect(&server.url()).await.unwrap();
    let other = client.clone();
    let waiting = tokio::spawn(async move { other.stream_read("s", "$", 1, Some(0)).await });
    // Once this call is done, the wait is in flight: it was sent before.
    tokio::task::yield_now().await;
    client.stream_read_latest("s", 1).await.unwrap();
    client.close().await;
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), "CLOSED");
    let error = client.stream_read_latest("s", 1).await.unwrap_err();
    assert_eq!((error.code(), error.retry()), ("CLOSED", Retry::Never));
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn a_read_from_the_resolved_id_misses_nothing() {
    let proxy = Proxy::start::<&str>([]).unwrap();
    let client = Client::connect(&proxy.ws_url()).await.unwrap();
    let before = client
        .stream_add("s", fields("before"), None)
        .await
        .unwrap();
    let empty = client.read_batch("s", "$", 10, Some(1)).await.unwrap();
    assert_eq!((empty.entries.len(), &empty.last_id), (0, &before));
    let added = client
        .stream_add("s", fields("between"), None)
        .await
        .unwrap();
    let next = client
        .read_batch("s", &empty.last_id, 10, Some(1_000))
        .await
        .unwrap();
    assert_eq!(next.entries.len(), 1);
    assert_eq!(next.last_id, added);
}
