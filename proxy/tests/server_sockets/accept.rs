//! Connections that do not become sockets: their deadlines and bounds.

use std::net::SocketAddr;
use std::time::Duration;

use streamgate::Config;
use streamgate_protocol::codec::Encoding;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{TIMEOUT, TestClient};
use crate::handshake::HANDSHAKE;
use crate::http::get;
use crate::test_server::TestServer;

/// Returns what arrives until the server closes the connection.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    // A reset is an end too: the server closes with unread bytes.
    let end = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut received)).await;
    let _ = end.expect("the connection is still open");
    received
}

async fn silent(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

#[tokio::test]
async fn a_connection_without_a_whole_request_is_closed_in_time() {
    let config = Config::default().handshake_timeout(Duration::from_millis(200));
    let server = TestServer::with(config).await;
    let half = format!("GET /v1/ws HTTP/1.1\r\nhost: localhost\r\n{HANDSHAKE}");
    for first in ["", "G", &half] {
        let mut stream = silent(server.address).await;
        stream.write_all(first.as_bytes()).await.unwrap();
        assert!(read_to_end(&mut stream).await.is_empty(), "{first:?}");
    }
    // A byte now and then is no progress.
    let stream = silent(server.address).await;
    let (mut reader, mut writer) = stream.into_split();
    let drip = async {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut received = Vec::new();
    tokio::select! {
        () = drip => {}
        _ = reader.read_to_end(&mut received) => assert!(received.is_empty()),
        () = tokio::time::sleep(TIMEOUT) => panic!("the connection is still open"),
    }
    server.serves_other_clients().await;
}

#[tokio::test]
async fn sockets_have_no_deadline_for_their_handshake() {
    let config = Config::default().handshake_timeout(Duration::from_millis(100));
    let server = TestServer::with(config).await;
    let mut client = server.client(Encoding::Binary).await;
    // Another connection is closed after it.
    assert!(
        read_to_end(&mut silent(server.address).await)
            .await
            .is_empty()
    );
    client.ping(1).await;
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let config = Config::default().max_handshakes(8);
    let server = TestServer::with(config).await;
    let mut open = server.client(Encoding::Binary).await;
    let mut connections = Vec::new();
    for _ in 0..100 {
        connections.push(silent(server.address).await);
    }
    server.serves_other_clients().await;
    assert!(
        get(server.address, "/healthz")
            .await
            .ends_with("\r\n\r\nok")
    );
    open.ping(1).await;
    // The oldest made room.
    for connection in &mut connections[..92] {
        assert!(read_to_end(connection).await.is_empty());
    }
}

#[tokio::test]
async fn a_response_that_nobody_reads_is_closed_in_time() {
    let www = tempfile::tempdir().unwrap();
    std::fs::write(www.path().join("large"), vec![b'x'; 64 << 20]).unwrap();
    let config = Config::default()
        .www(www.path())
        .handshake_timeout(Duration::from_millis(100))
        .write_timeout(Duration::from_millis(100));
    let server = TestServer::with(config).await;
    let request = b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut stream = silent(server.address).await;
    stream.write_all(request).await.unwrap();
    let until_reset = async {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reset = tokio::time::timeout(TIMEOUT, until_reset).await;
    reset.expect("the connection is still open");
    // One that is read takes longer than that, and arrives.
    let mut stream = silent(server.address).await;
    stream.write_all(request).await.unwrap();
    let (mut received, mut part) = (0, vec![0; 1 << 20]);
    for _ in 0..5 {
        received += stream.read(&mut part).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    received += read_to_end(&mut stream).await.len();
    assert!(received > 64 << 20, "{received} bytes");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_silent_connections() {
    let server = TestServer::with(Config::default().drain_period(Duration::ZERO)).await;
    let mut connection = silent(server.address).await;
    let client = TestClient::connect(server.address, Encoding::Json).await;
    drop(client);
    server.shut_down().await.unwrap();
    assert!(read_to_end(&mut connection).await.is_empty());
}
