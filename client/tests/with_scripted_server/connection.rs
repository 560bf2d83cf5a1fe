//! The connection of a `Client`, against a scripted server.

use std::time::Duration;

use futures_util::StreamExt;
use streamgate_client::{CacheError, Client, ClientConfig, ConnectionState};
use streamgate_protocol::message::Fault;
use streamgate_protocol::{ClientMessage, ServerMessage};
use tokio::net::TcpListener;

use crate::scripted_server::{connected, is_pending};

#[tokio::test(start_paused = true)]
async fn states_are_a_stream_that_ends_when_the_client_is_closed() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut states = client.states();
    assert_eq!(states.next().await, Some(ConnectionState::Open));
    assert!(is_pending(&mut states.next()));

    let fault = Fault::from(&CacheError::from_code("LOADING", "Redis is starting"));
    server.send(&ServerMessage::Backend {
        unavailable: Some(fault),
    });
    let state = states.next().await.unwrap();
    assert_eq!(state.as_str(), "degraded");

    server.lose_connection();
    let state = states.next().await.unwrap();
    assert_eq!(state.as_str(), "reconnecting");
    let ready = client.ready();
    futures_util::pin_mut!(ready);
    assert!(is_pending(&mut ready));

    client.close().await;
    assert_eq!(ready.await.unwrap_err().code(), "CLOSED");
    let state = states.next().await.unwrap();
    assert_eq!(state.as_str(), "closed");
    assert_eq!(states.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_states_ends_with_the_driver() {
    let (client, server) = connected(ClientConfig::default()).await;
    let mut states = client.states();
    assert_eq!(states.next().await, Some(ConnectionState::Open));
    server.drop_driver().await;
    assert_eq!(states.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_network_probes_the_connection_at_once() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let before = tokio::time::Instant::now();
    client.network_changed();
    assert_eq!(server.next().await, ClientMessage::Ping { nonce: 1 });
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn connecting_fails_if_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/ws", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::connect(&url).await.unwrap_err();
    assert_eq!(error.code(), "DISCONNECTED");
}

#[tokio::test]
async fn an_invalid_url_is_refused_with_a_hint() {
    let error = Client::connect("127.0.0.1:8080").await.unwrap_err();
    assert_eq!(error.code(), "CONFIG");
    assert!(error.message().contains("ws://"), "{error}");
}
