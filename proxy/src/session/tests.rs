//! A session that is driven by hand, in paused time.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::{SinkExt, StreamExt};
use streamgate_protocol::ClientMessage;
use streamgate_protocol::codec::Encoding;
use tokio::io::{DuplexStream, duplex};
use tokio::time::advance;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::server::Server;
use streamgate_memory::MemoryStreams;

const ENCODING: Encoding = Encoding::Binary;

async fn message(client: &mut WebSocketStream<DuplexStream>) -> ServerMessage {
    let frame = client.next().await.unwrap().unwrap();
    assert!(frame.is_binary(), "{frame:?}");
    let frame = frame.into_data();
    let message = ENCODING.messages(&frame).next().unwrap();
    message.unwrap()
}

/// As a process that was stopped, or a machine that slept.
#[tokio::test(start_paused = true)]
async fn a_client_that_spoke_while_the_server_stood_still_is_heard() {
    let config = Config::default();
    let asleep = 10 * HEARTBEATS_UNTIL_DEAD * Duration::from_millis(config.heartbeat_ms.into());
    let server = Server::new(Arc::new(MemoryStreams::new()), config).unwrap();
    let (near, far) = duplex(1024);
    let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let socket = Socket::new(far, ENCODING, 65_536).await;
    let mut session = pin!(run(&server.shared, socket, None));
    assert!(session.as_mut().now_or_never().is_none());
    assert!(matches!(
        message(&mut client).await,
        ServerMessage::Welcome(_)
    ));
    let mut ping = Vec::new();
    ENCODING
        .append(&mut ping, &ClientMessage::Ping { nonce: 7 })
        .unwrap();
    client.send(Message::binary(ping)).await.unwrap();
    advance(asleep).await;
    let Either::Right((answer, session)) = select(session, pin!(message(&mut client))).await else {
        panic!("the session has ended");
    };
    assert_eq!(answer, ServerMessage::Pong { nonce: 7 });
    // One that is silent since is given up.
    let start = Instant::now();
    select(session, pin!(client.next())).await;
    assert!(start.elapsed() > asleep / 20 && start.elapsed() < asleep);
}
