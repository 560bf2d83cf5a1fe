//! How sockets and the server end.

use std::time::Duration;

use futures_util::SinkExt;
use streamgate::{CLOSE_TIMEOUT, Config, SHUTDOWN_TIMEOUT};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{ServerMessage, close};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{TIMEOUT, add, large_read, tail, wait};
use crate::test_server::TestServer;

/// A server that closes all sockets at once when it shuts down.
async fn without_drain_period() -> TestServer {
    TestServer::with(Config::default().drain_period(Duration::ZERO)).await
}

#[tokio::test]
async fn a_clients_close_ends_its_waits() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        client.send(&[wait(1), wait(2)]).await;
        server.backend.until_waits(2).await;
        client.close().await;
        server.backend.until_waits(0).await;
    }
}

#[tokio::test]
async fn a_lost_connection_ends_its_waits() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        client.send(&[wait(1), wait(2)]).await;
        server.backend.until_waits(2).await;
        drop(client);
        server.backend.until_waits(0).await;
    }
}

/// Whether or not the client answers the close: a consumer that has gone must not get entries.
#[tokio::test]
async fn a_close_by_the_server_ends_waits_at_once() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        client.send(&[wait(1), wait(2)]).await;
        server.backend.until_waits(2).await;
        let duplicate = client.frame(&[wait(1)]);
        let duplicate = client.message(duplicate);
        client.socket.feed(duplicate).await.unwrap();
        client.socket.flush().await.unwrap();
        // The client reads nothing, so its answer to the close never comes.
        let ended = server.backend.until_waits(0);
        tokio::time::timeout(CLOSE_TIMEOUT / 2, ended)
            .await
            .unwrap();
    }
}

/// Liveness counts frames, and this one never ends.
#[tokio::test]
async fn a_client_whose_frame_arrives_byte_by_byte_is_silent() {
    let server = TestServer::with(Config::default().heartbeat_ms(200)).await;
    for &encoding in Encoding::ALL {
        let client = server.client(encoding).await;
        // Final, masked with zeros, and 64 KiB long.
        let kind = if encoding.is_text() { 0x81 } else { 0x82 };
        let head = [kind, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (mut reader, mut writer) = client.into_split();
        let trickle = async {
            writer.write_all(&head).await.unwrap();
            while writer.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            std::future::pending::<()>().await
        };
        let close_code = async {
            // Only small frames come before the close: a ping.
            loop {
                let (kind, length) = (reader.read_u8().await.unwrap(), reader.read_u8().await);
                let mut payload = vec![0; length.unwrap().into()];
                reader.read_exact(&mut payload).await.unwrap();
                if kind == 0x88 {
                    break u16::from_be_bytes([payload[0], payload[1]]);
                }
            }
        };
        tokio::select! {
            code = tokio::time::timeout(TIMEOUT, close_code) => {
                assert_eq!(code.unwrap(), close::HEARTBEAT_MISSED);
            }
            () = trickle => {}
        }
    }
}

#[tokio::test]
async fn requests_sent_right_before_a_close_are_performed() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let frame = client.frame(&[add(1, "slow", "a"), add(2, "s", "b")]);
        let frame = client.message(frame);
        client.socket.feed(frame).await.unwrap();
        client.socket.close(None).await.unwrap();
        server.backend.until_slow_adds(1).await;
        drop(client);
        server.backend.finish_slow_adds();
        server.backend.until_begun_adds(2).await;
        assert_eq!(server.backend.begun_adds(), ["a", "b"]);
    }
}

#[tokio::test]
async fn shutdown_closes_every_socket_with_1001() {
    let server = without_drain_period().await;
    let mut clients = Vec::new();
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        client.send(&[wait(1)]).await;
        clients.push(client);
    }
    server.backend.until_waits(2).await;
    let backend = server.backend.clone();
    let address = server.address;
    let ending = tokio::spawn(server.shut_down());
    for mut client in clients {
        assert_eq!(client.closed().await.code, close::GOING_AWAY);
        client.ended().await;
    }
    ending.await.unwrap().unwrap();
    backend.until_waits(0).await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nothing listens any more"
    );
}

#[tokio::test]
async fn shutdown_does_not_wait_for_clients_that_hang() {
    let server = without_drain_period().await;
    // A client that reads nothing, one that answers no close, and half a request.
    let mut deaf = server.client(Encoding::Binary).await;
    deaf.send(&[large_read(1, 15 << 20)]).await;
    let silent = server.client(Encoding::Json).await;
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    server.serves_other_clients().await;
    // A bound for hangs only: without the timeout the shutdown would never end.
    let shutdown = tokio::time::timeout(SHUTDOWN_TIMEOUT * 5, server.shut_down());
    shutdown.await.expect("the shutdown hangs").unwrap();
    drop((deaf, silent, half));
}

#[tokio::test]
async fn a_shutdown_answers_requests_being_performed_and_ends_waits_at_once() {
    for &encoding in Encoding::ALL {
        let server = without_drain_period().await;
        let mut client = server.client(encoding).await;
        let credit = Credit {
            entries: 0,
            bytes: 0,
        };
        let backend = server.backend.clone();
        client.send(&[wait(1)]).await;
        backend.until_waits(1).await;
        client.send(&[tail(3, "t", credit)]).await;
        let push = client.receive().await.unwrap();
        assert!(matches!(push, ServerMessage::Push { id: 3, .. }));
        client.send(&[add(2, "slow", "a")]).await;
        backend.until_slow_adds(1).await;
        let ending = tokio::spawn(server.shut_down());
        backend.until_waits(0).await;
        backend.until_tails(0).await;
        // From its close time on, the server reads no further.
        client.send(&[add(4, "s", "b")]).await;
        backend.finish_slow_adds();
        assert!(client.reply_to(2).await.is_ok());
        assert_eq!(client.closed().await.code, close::GOING_AWAY);
        client.ended().await;
        drop(client);
        ending.await.unwrap().unwrap();
        assert_eq!(backend.begun_adds(), ["tail t", "a"]);
    }
}
