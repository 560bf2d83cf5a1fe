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
        &format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"),
    )
    .await
}

fn assert_headers(response: &str) {
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
async fn a_folder_is_served_and_nothing_beside_it() {
    let parent = tempfile::tempdir().unwrap();
    let www = parent.path().join("www");
    std::fs::create_dir_all(www.join("npm")).unwrap();
    std::fs::write(parent.path().join("secret"), "secret").unwrap();
    let files = [
        ("index.html", "text/html"),
        ("npm/index.js", "text/javascript"),
        ("npm/glue.mjs", "application/javascript"),
        ("style.css", "text/css"),
        ("data.json", "application/json"),
        ("icon.svg", "image/svg+xml"),
        ("npm/streamgate.wasm", "application/wasm"),
    ];
    for (path, _) in files {
        std::fs::write(www.join(path), path).unwrap();
    }
    let server = TestServer::with(Config::default().www(www)).await;
    for (path, content_type) in files {
        let response = get(server.address, &format!("/{path}")).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        let expected = format!("content-type: {content_type}");
        assert!(response.contains(&expected), "{expected} in {response}");
        assert!(response.ends_with(path), "{response}");
        assert_headers(&response);
    }
    assert!(get(server.address, "/").await.ends_with("index.html"));
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/npm/../../secret",
        "/..%2fsecret",
        "//secret",
    ] {
        let response = get(server.address, path).await;
        assert!(response.starts_with("HTTP/1.1 4"), "{path}: {response}");
        assert!(!response.ends_with("secret"), "{path}: {response}");
    }
}
