//! What operators see on the admin listener.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use streamgate::{Config, Server};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, Operation};

use crate::client::{TestClient, add};
use crate::http::{exchange, get};
use crate::stub_backend::StubBackend;
use crate::test_server::listen;

/// The dashboard of the repository.
const DASHBOARD: &str = include_str!("../../grafana/streamgate.json");

/// Serves both listeners; returns the server, the public address, and that of the admin listener.
async fn serve(backend: Arc<dyn streamgate_backend::Backend>) -> (Server, SocketAddr, SocketAddr) {
    let server = Server::new(backend, Config::default()).unwrap();
    let (address, listener) = listen().await;
    tokio::spawn(server.clone().serve(listener, std::future::pending()));
    let (admin, listener) = listen().await;
    let admin_server = server.clone();
    tokio::spawn(async move { admin_server.serve_admin(listener).await });
    (server, address, admin)
}

/// Returns the figures by their names with labels.
async fn metrics(admin: SocketAddr) -> HashMap<String, f64> {
    let response = get(admin, "/metrics").await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// Waits until a figure has a value: sessions publish theirs a little after their replies.
async fn until(admin: SocketAddr, name: &str, value: f64) {
    let wait = async {
        while metrics(admin).await.get(name) != Some(&value) {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(crate::client::TIMEOUT, wait)
        .await
        .is_err()
    {
        panic!("{name} is not {value}: {:?}", metrics(admin).await);
    }
}

fn wait_for_entry(id: u64) -> ClientMessage<'static> {
    let operation = Operation::Read {
        stream: "s".into(),
        last_id: "$".into(),
        count: 1,
        block_ms: Some(0),
    };
    ClientMessage::Request { id, operation }
}

#[tokio::test]
async fn requests_sockets_waits_and_refusals_are_counted() {
    let (server, address, admin) = serve(Arc::new(MemoryStreams::new())).await;
    for &encoding in Encoding::ALL {
        let mut client = TestClient::connect(address, encoding).await;
        client.welcome().await;
        for id in 0..10 {
            client.send(&[add(id, "s", "v")]).await;
            client.reply_to(id).await.unwrap();
        }
        client.send(&[wait_for_entry(100)]).await;
        until(admin, "streamgate_waits", 1.0).await;
        until(admin, "streamgate_requests_in_flight", 1.0).await;
        until(admin, "streamgate_sockets", 1.0).await;
        let cancel = ClientMessage::Cancel { id: 100 };
        client.send(&[cancel]).await;
        until(admin, "streamgate_waits", 0.0).await;
        client.close().await;
        until(admin, "streamgate_sockets", 0.0).await;
    }
    get(address, "/v1/ws").await;
    let figures = metrics(admin).await;
    for (name, value) in [
        (
            "streamgate_requests_total{operation=\"add\",code=\"ok\"}",
            20.0,
        ),
        (
            "streamgate_request_duration_seconds_count{operation=\"add\"}",
            20.0,
        ),
        (
            "streamgate_request_duration_seconds_bucket{operation=\"add\",le=\"+Inf\"}",
            20.0,
        ),
        (
            "streamgate_request_duration_seconds_count{operation=\"read\"}",
            0.0,
        ),
        ("streamgate_sockets_opened_total", 2.0),
        ("streamgate_sockets_closed_total{by=\"client\"}", 2.0),
        (
            "streamgate_refusals_total{reason=\"invalid_handshake\"}",
            1.0,
        ),
        ("streamgate_ready", 1.0),
        ("streamgate_memory_refusals_total", 0.0),
        ("streamgate_memory_used_bytes{kind=\"replies\"}", 0.0),
        ("streamgate_requests_in_flight", 0.0),
    ] {
        assert_eq!(figures.get(name), Some(&value), "{name} in {figures:?}");
    }
    assert!(figures["streamgate_received_bytes_total"] > 0.0);
    assert!(figures["streamgate_memory_budget_bytes"] > 0.0);
    assert!(figures["streamgate_sent_bytes_total"] > 0.0);
    drop(server);
}

#[tokio::test]
async fn readiness_has_its_reasons_also_during_a_shutdown() {
    let (server, address, admin) = serve(Arc::new(StubBackend::new())).await;
    let details = |response: String| -> Value {
        serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let ready = get(admin, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    let ready = details(ready);
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["backend"]["available"], true);
    let mut client = TestClient::connect(address, Encoding::Json).await;
    let (_, ()) = tokio::join!(client.closed(), server.close());
    let draining = get(admin, "/readyz").await;
    assert!(draining.starts_with("HTTP/1.1 503 "), "{draining}");
    let draining = details(draining);
    assert_eq!(draining["ready"], false);
    assert_eq!(draining["reason"], "draining");
    assert_eq!(draining["draining"], true);
    assert!(get(admin, "/healthz").await.ends_with("ok"));
    until(admin, "streamgate_ready", 0.0).await;
}

#[tokio::test]
async fn every_query_of_the_dashboard_is_about_metrics_that_exist() {
    let (_server, _, admin) = serve(Arc::new(MemoryStreams::new())).await;
    let response = get(admin, "/metrics").await;
    let declared: HashSet<&str> = response
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut shown = HashSet::new();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    for query in targets.map(|target| target["expr"].as_str().unwrap()) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = query.split(|c| !is_word(c));
        let names: Vec<_> = words
            .filter(|word| word.starts_with("streamgate_"))
            .collect();
        assert!(!names.is_empty(), "{query}");
        for name in names {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix));
            let family = family.unwrap_or(name);
            assert!(
                declared.contains(family),
                "{family} of {query} in {response}"
            );
            shown.insert(family);
        }
        for labels in query.split(" by (").skip(1) {
            let labels = labels.split(')').next().unwrap();
            for label in labels.split(", ") {
                let exists = response.contains(&format!("{label}=\""));
                assert!(exists, "{label} of {query} in {response}");
            }
        }
    }
    let mut missing: Vec<_> = declared.difference(&shown).collect();
    missing.sort();
    assert!(missing.is_empty(), "not on the dashboard: {missing:?}");
}

/// A page whose name points to the loopback address reaches the listener with that name.
#[tokio::test]
async fn a_request_by_the_name_of_a_web_page_gets_421() {
    let config = Config::default().admin_host("metrics.example");
    let server = Server::new(Arc::new(MemoryStreams::new()), config).unwrap();
    let (admin, listener) = listen().await;
    tokio::spawn(async move { server.serve_admin(listener).await });
    for (host, status) in [
        ("evil.example", 421),
        ("evil.example:9464", 421),
        ("localhost:9464", 200),
        ("metrics.example", 200),
        ("127.0.0.1:9464", 200),
        ("[::1]:9464", 200),
    ] {
        for path in ["/metrics", "/readyz", "/healthz"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let response = exchange(admin, &request).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(response.starts_with(&expected), "{host}: {response}");
        }
    }
    let refused = metrics(admin).await["streamgate_refusals_total{reason=\"unknown_admin_host\"}"];
    assert_eq!(refused, 6.0);
}
