//! A backend that goes away and comes back.

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{CacheError, ServerMessage};

use crate::client::{Client, add};
use crate::http::get;
use crate::test_server::Service;

fn away(code: &str) -> Option<CacheError> {
    Some(CacheError::from_code(code, "why"))
}

/// What comes next, which must be about the backend: the code of why it is away.
async fn told(client: &mut Client) -> Option<String> {
    match client.receive().await {
        Ok(ServerMessage::Backend { away }) => away.map(|fault| fault.code),
        other => panic!("nothing about the backend: {other:?}"),
    }
}

#[tokio::test]
async fn every_client_is_told_when_it_changes_and_once() {
    let service = Service::start().await;
    let mut clients = Vec::new();
    for &encoding in Encoding::ALL {
        clients.push(service.client(encoding).await);
    }
    for state in [away("LOADING"), None, away("DISCONNECTED")] {
        service.backend.set_away(state.clone());
        // The same in other words.
        service.backend.set_away(state.clone());
        for client in &mut clients {
            let code = state.as_ref().map(CacheError::code);
            assert_eq!(told(client).await.as_deref(), code);
            client.ping(7).await;
        }
    }
}

#[tokio::test]
async fn who_comes_while_it_is_away_is_told_behind_the_welcome() {
    let service = Service::start().await;
    service.backend.set_away(away("NOAUTH"));
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        assert_eq!(told(&mut client).await.as_deref(), Some("NOAUTH"));
        // It is asked all the same, and answers as it can.
        client.send(&[add(1, "s", "1")]).await;
        client.reply_to(1).await.unwrap();
    }
}

#[tokio::test]
async fn the_server_is_not_ready_while_it_is_away_and_alive() {
    let service = Service::start().await;
    service.backend.set_away(away("DISCONNECTED"));
    let response = get(service.address, "/readyz").await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    let body = "\r\n\r\nbackend away: DISCONNECTED";
    assert!(response.ends_with(body), "{response}");
    let response = get(service.address, "/healthz").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    service.backend.set_away(None);
    let response = get(service.address, "/readyz").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}
