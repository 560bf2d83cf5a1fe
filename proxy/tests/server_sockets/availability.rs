//! A backend that becomes unavailable and available again.

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{CacheError, ServerMessage};

use crate::client::{TestClient, add};
use crate::http::get;
use crate::test_server::TestServer;

fn unavailable(code: &str) -> Option<CacheError> {
    Some(CacheError::from_code(code, "why"))
}

/// Receives the next message, which must be about the backend; returns why it is unavailable.
async fn next_backend_code(client: &mut TestClient) -> Option<String> {
    match client.receive().await {
        Ok(ServerMessage::Backend { unavailable }) => unavailable.map(|fault| fault.code),
        other => panic!("not about the backend: {other:?}"),
    }
}

#[tokio::test]
async fn every_client_hears_of_each_change_once() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for &encoding in Encoding::ALL {
        clients.push(server.client(encoding).await);
    }
    for state in [unavailable("LOADING"), None, unavailable("DISCONNECTED")] {
        server.backend.set_unavailable(state.clone());
        // The same code once more is no change.
        server.backend.set_unavailable(state.clone());
        for client in &mut clients {
            let code = state.as_ref().map(CacheError::code);
            assert_eq!(next_backend_code(client).await.as_deref(), code);
            client.ping(7).await;
        }
    }
}

#[tokio::test]
async fn a_new_client_hears_after_the_welcome_that_the_backend_is_unavailable() {
    let server = TestServer::start().await;
    server.backend.set_unavailable(unavailable("NOAUTH"));
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        assert_eq!(
            next_backend_code(&mut client).await.as_deref(),
            Some("NOAUTH")
        );
        // The server performs requests all the same.
        client.send(&[add(1, "s", "1")]).await;
        client.reply_to(1).await.unwrap();
    }
}

#[tokio::test]
async fn while_the_backend_is_unavailable_the_server_is_healthy_but_not_ready() {
    let server = TestServer::start().await;
    server.backend.set_unavailable(unavailable("DISCONNECTED"));
    let response = get(server.address, "/readyz").await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    let body = "\r\n\r\nbackend unavailable: DISCONNECTED";
    assert!(response.ends_with(body), "{response}");
    let response = get(server.address, "/healthz").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    server.backend.set_unavailable(None);
    let response = get(server.address, "/readyz").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}
