//! A large entry on a slow line: sending it takes longer than either side may be silent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use streamgate::{Config, Server};
use streamgate_client::{Client, ConnectionState, Encoding, StreamingBackend};
use streamgate_memory::MemoryStreams;
use streamgate_test_support::relay::{Direction, Flow, Relay, Scope};
use tokio::net::TcpListener;

use super::fields;

/// Long enough for a busy machine: the server is heard twice in this time.
const HEARTBEAT_MS: u32 = 2_000;

/// Catches hangs.
const HANG_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_more_than_two_heartbeats_keeps_its_connection() {
    const BYTES_PER_SECOND: u32 = 1 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config::default().heartbeat_ms(HEARTBEAT_MS);
    let server = Server::new(Arc::new(MemoryStreams::new()), config).unwrap();
    tokio::spawn(server.serve(listener, std::future::pending()));
    let relay = Relay::start(address).await.unwrap();
    let slow = Flow::Slow(BYTES_PER_SECOND.try_into().unwrap());
    relay.set(Scope::All, Direction::ToTarget, slow);
    let url = format!("ws://{}/v1/ws", relay.address());
    let builder = Client::builder(&url).encoding(Encoding::Binary);
    let client = builder.connect().await.unwrap();
    let mut states = client.states();
    assert_eq!(states.next().await, Some(ConnectionState::Open));

    // Three heartbeats at this rate.
    let heartbeats = 3 * u64::from(HEARTBEAT_MS) * u64::from(BYTES_PER_SECOND) / 1_000;
    let value = "v".repeat(usize::try_from(heartbeats).unwrap());
    let added = client.stream_add("s", fields(&value), None);
    let added = tokio::time::timeout(HANG_LIMIT, added).await;
    added.expect("the upload hangs").unwrap();
    assert_eq!(
        states.next().now_or_never(),
        None,
        "the connection was lost"
    );
}
