//! A WebSocket echo server: what a WebSocket costs by itself.

use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{Message, WebSocket};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::harness;

/// The size that streamgate's server uses: tungstenite clears the buffer at every attempt to read.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// Serves until standard input ends, on the runtime that makes a lone round trip fastest.
pub(crate) fn run() -> anyhow::Result<()> {
    harness::exit_with_stdin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve())
}

async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("ws://{}/", listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        // Otherwise the echo would be slower, and the comparison easier.
        let _ = socket.set_nodelay(true);
    });
    Ok(axum::serve(listener, Router::new().route("/", any(upgrade))).await?)
}

async fn upgrade(upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(READ_BUFFER_BYTES).on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let is_data = matches!(message, Message::Binary(_) | Message::Text(_));
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}
