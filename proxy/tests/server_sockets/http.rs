//! What the server serves beside its sockets: health, readiness, a folder, the default page.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use streamgate::{Config, Server};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::stub_backend::StubBackend;
use crate::test_server::{TestServer, listen};

/// Sends a request, and returns the response: head and body.
pub(crate) async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    stream.write_all(request.as_bytes()).await.unwrap();
    let receive = async {
        let (mut response, mut length) = (String::new(), 0);
        while !response.ends_with("\r\n\r\n") {
            let start = response.len();
            assert!(
                stream.read_line(&mut response).await.unwrap() > 0,
                "cut off: {response}"
            );
            let line = response[start..].to_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        response + &String::from_utf8(body).unwrap()
    };
    tokio::time::timeout(Duration::from_secs(10), receive)
        .await
        .expect("no response")
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
    )
    .await
}

pub(crate) fn assert_headers(response: &str) {
    let head = response.split("\r\n\r\n").next().unwrap().to_lowercase();
    for header in [
        "x-content-type-options: nosniff",
        "cache-control: no-cache",
        "content-security-policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval';",
    ] {
        assert_eq!(head.matches(header).count(), 1, "{header} in {head}");
    }
}

#[tokio::test]
async fn a_server_is_ready_until_it_drains() {
    let backend = Arc::new(StubBackend::new());
    let server = Server::new(backend, Config::default()).unwrap();
    let (address, listener) = listen().await;
    let serving = tokio::spawn(axum::serve(listener, server.router()).into_future());
    let response = get(address, "/readyz").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.ends_with("\r\n\r\nready"), "{response}");
    assert_headers(&response);
    server.close().await;
    let response = get(address, "/readyz").await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.ends_with("\r\n\r\ndraining"), "{response}");
    assert!(response.contains("\r\nretry-after: 1\r\n"), "{response}");
    // The process is healthy: nobody may kill it because it drains.
    let response = get(address, "/healthz").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    serving.abort();
}

#[tokio::test]
async fn a_healthy_server_answers_ok() {
    let server = TestServer::start().await;
    let response = get(server.address, "/healthz").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
}

#[tokio::test]
async fn without_a_folder_the_default_page_names_the_endpoint() {
    let server = TestServer::start().await;
    let response = get(server.address, "/").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.contains("content-type: text/html"), "{response}");
    assert!(response.contains("/v1/ws"), "{response}");
    assert!(response.contains("cargo xtask demo"), "{response}");
    assert_headers(&response);
    assert!(
        get(server.address, "/nothing")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
}

#[tokio::test]
async fn a_request_has_exactly_one_valid_host() {
    let server = TestServer::start().await;
    for (version, hosts, status) in [
        ("1.1", "host: example.org\r\n", 200),
        ("1.1", "host: [::1]:8080\r\n", 200),
        ("1.1", "host:\r\n", 200),
        ("1.0", "", 200),
        ("1.1", "", 400),
        ("1.1", "host: a\r\nhost: a\r\n", 400),
        ("1.0", "host: a\r\nhost: b\r\n", 400),
        ("1.1", "host: a b\r\n", 400),
        ("1.1", "host: user@a\r\n", 400),
        ("1.1", "host: a/b\r\n", 400),
    ] {
        for path in ["/healthz", "/"] {
            let request = format!("GET {path} HTTP/{version}\r\n{hosts}\r\n");
            let response = exchange(server.address, &request).await;
            let is_refused = response[9..].starts_with("400 ");
            assert_eq!(is_refused, status == 400, "{hosts:?}: {response}");
        }
    }
}

#[tokio::test]
async fn a_target_or_a_head_that_is_too_long_is_refused() {
    let www = tempfile::tempdir().unwrap();
    for config in [Config::default(), Config::default().www(www.path())] {
        let server = TestServer::with(config).await;
        for (letters, status) in [(200, 404), (300, 404), (4_000, 404), (8_000, 414)] {
            let response = get(server.address, &format!("/{}", "a".repeat(letters))).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(response.starts_with(&expected), "{letters}: {response}");
        }
        let cookie = format!("cookie: {}\r\n", "c".repeat(100_000));
        let request = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{cookie}\r\n");
        let response = exchange(server.address, &request).await;
        assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
    }
}

#[tokio::test]
async fn whoever_is_refused_is_disconnected() {
    let server = TestServer::start().await;
    for request in [
        "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET /v1/ws HTTP/1.1\r\n\r\n",
        "GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "no request\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let head = response.to_lowercase();
        assert!(head.starts_with("http/1.1 4"), "{response}");
        let connection = head.lines().find(|line| line.starts_with("connection: "));
        assert!(connection.unwrap().ends_with("close"), "{response}");
    }
}
