//! Pages of other origins, and names that are not the server's.

use std::future::IntoFuture;
use std::sync::Arc;

use streamgate::{Config, Origins, Server};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;

use crate::handshake::HANDSHAKE;
use crate::http::exchange;
use crate::test_server::{TestServer, listen};

/// Returns the whole response to a request for a socket, or for what else is at the path.
async fn ask(server: &TestServer, path: &str, host: &str, origin: Option<&str>) -> String {
    let origin = origin.map_or(String::new(), |origin| format!("origin: {origin}\r\n"));
    let offer = Encoding::Json.subprotocol();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\n{origin}{HANDSHAKE}\
         sec-websocket-protocol: {offer}\r\n\r\n"
    );
    exchange(server.address, &request).await
}

async fn status(server: &TestServer, host: &str, origin: Option<&str>) -> u16 {
    let response = ask(server, "/v1/ws", host, origin).await;
    response[9..12].parse().unwrap()
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_reach_a_development_server() {
    let server = TestServer::start().await;
    let own = format!("http://{}", server.address);
    let host = server.address.to_string();
    for origin in [None, Some(&*own)] {
        assert_eq!(status(&server, &host, origin).await, 101, "{origin:?}");
    }
    for origin in ["https://evil.example", "null", "http://localhost:5173"] {
        let response = ask(&server, "/v1/ws", &host, Some(origin)).await;
        assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
        assert!(response.contains("--allowed-origins"), "{response}");
    }
    server.serves_other_clients().await;
}

#[tokio::test]
async fn a_name_that_a_page_has_pointed_here_is_refused() {
    let server = TestServer::start().await;
    let port = server.address.port();
    let rebound = format!("evil.example:{port}");
    let origin = format!("http://{rebound}");
    for path in ["/v1/ws", "/", "/any"] {
        let response = ask(&server, path, &rebound, Some(&origin)).await;
        assert!(response.starts_with("HTTP/1.1 403 "), "{path}: {response}");
        assert!(response.contains("--allowed-hosts"), "{response}");
    }
    // As a target, too, and whatever the header says.
    let request = format!("GET http://{rebound}/ HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let response = exchange(server.address, &request).await;
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    // Load balancers probe by any name, and learn nothing else.
    for path in ["/healthz", "/readyz"] {
        let response = ask(&server, path, &rebound, None).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
    let localhost = format!("localhost:{port}");
    let origin = format!("http://{localhost}");
    assert_eq!(status(&server, &localhost, Some(&origin)).await, 101);
}

#[tokio::test]
async fn lists_apply_from_the_next_handshake_on() {
    let public = Origins::new()
        .public_origin("https://streams.example")
        .unwrap();
    let server = TestServer::with(Config::default().origins(public)).await;
    let mut open = server.client(Encoding::Binary).await;
    let app = Some("https://app.example");
    let streams = Some("https://streams.example");
    assert_eq!(status(&server, "streams.example", streams).await, 101);
    assert_eq!(status(&server, "localhost", app).await, 403);
    let origins = Origins::new().allow_origin("https://app.example").unwrap();
    server
        .server
        .set_origins(origins.allow_host("dev.example").unwrap());
    assert_eq!(status(&server, "dev.example", app).await, 101);
    assert_eq!(status(&server, "streams.example", app).await, 403);
    assert_eq!(status(&server, "localhost", streams).await, 403);
    open.ping(1).await;
}

/// Another program knows by which names it is reached.
#[tokio::test]
async fn within_another_application_the_own_origin_is_that_of_the_host() {
    let server = Server::new(Arc::new(MemoryStreams::new()), Config::default()).unwrap();
    let (address, listener) = listen().await;
    let _serving = tokio::spawn(axum::serve(listener, server.router()).into_future());
    for (origin, status) in [
        ("https://any.example", "101"),
        ("http://any.example", "101"),
        ("https://evil.example", "403"),
    ] {
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nhost: any.example\r\norigin: {origin}\r\n{HANDSHAKE}\
             sec-websocket-protocol: streamgate.v1.json\r\n\r\n"
        );
        let response = exchange(address, &request).await;
        assert_eq!(&response[9..12], status, "{origin}");
    }
}
