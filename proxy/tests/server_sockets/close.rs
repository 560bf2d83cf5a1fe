//! How sockets and the server end.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use streamgate::{CLOSE_TIMEOUT, Config, SHUTDOWN_TIMEOUT};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{ServerMessage, close};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{add, large, tail, wait};
use crate::test_server::Service;

/// A server that tells all its clients together that it ends.
async fn closing_all_at_once() -> Service {
    Service::with(Config {
        drain: Duration::ZERO,
        ..Config::default()
    })
    .await
}

#[tokio::test]
async fn a_clients_close_ends_its_waits() {
    let service = Service::start().await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        client.send(&[wait(1), wait(2)]).await;
        service.backend.until_waits(2).await;
        client.close().await;
        service.backend.until_waits(0).await;
    }
}

#[tokio::test]
async fn a_lost_connection_ends_its_waits() {
    let service = Service::start().await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        client.send(&[wait(1), wait(2)]).await;
        service.backend.until_waits(2).await;
        drop(client);
        service.backend.until_waits(0).await;
    }
}

/// Whether or not the client answers the close: a consumer must not be handed entries that
/// nobody will send.
#[tokio::test]
async fn a_close_by_the_server_ends_waits_at_once() {
    let service = Service::start().await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        client.send(&[wait(1), wait(2)]).await;
        service.backend.until_waits(2).await;
        let twice = client.frame(&[wait(1)]);
        let twice = client.message(twice);
        client.socket.feed(twice).await.unwrap();
        client.socket.flush().await.unwrap();
        // The client reads nothing, so its answer to the close never comes.
        let ended = service.backend.until_waits(0);
        tokio::time::timeout(CLOSE_TIMEOUT / 2, ended)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_is_sent_right_before_a_close_is_performed() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        let frame = client.frame(&[add(1, "slow", "a"), add(2, "s", "b")]);
        let frame = client.message(frame);
        client.socket.feed(frame).await.unwrap();
        client.socket.close(None).await.unwrap();
        service.backend.until_slow(1).await;
        drop(client);
        service.backend.open();
        service.backend.until_added(2).await;
        assert_eq!(service.backend.added(), ["a", "b"]);
    }
}

#[tokio::test]
async fn shutdown_closes_every_socket_with_1001() {
    let service = closing_all_at_once().await;
    let mut clients = Vec::new();
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        client.send(&[wait(1)]).await;
        clients.push(client);
    }
    service.backend.until_waits(2).await;
    let backend = service.backend.clone();
    let address = service.address;
    let ending = tokio::spawn(service.shut_down());
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
    let service = closing_all_at_once().await;
    // One that reads nothing, one that answers no close, and half a request.
    let mut unread = service.client(Encoding::Binary).await;
    unread.send(&[large(1, 15 << 20)]).await;
    let silent = service.client(Encoding::Json).await;
    let mut half = TcpStream::connect(service.address).await.unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    service.serves_others().await;
    let start = Instant::now();
    service.shut_down().await.unwrap();
    let took = start.elapsed();
    assert!(
        took <= SHUTDOWN_TIMEOUT + Duration::from_secs(1),
        "{took:?}"
    );
    drop((unread, silent, half));
}

#[tokio::test]
async fn what_is_performed_is_answered_before_the_close_and_waits_end_at_once() {
    for &encoding in Encoding::ALL {
        let service = closing_all_at_once().await;
        let mut client = service.client(encoding).await;
        let credit = Credit {
            entries: 0,
            bytes: 0,
        };
        let backend = service.backend.clone();
        client.send(&[wait(1)]).await;
        backend.until_waits(1).await;
        client.send(&[tail(3, "t", credit)]).await;
        let push = client.receive().await.unwrap();
        assert!(matches!(push, ServerMessage::Push { id: 3, .. }));
        client.send(&[add(2, "slow", "a")]).await;
        backend.until_slow(1).await;
        let ending = tokio::spawn(service.shut_down());
        backend.until_waits(0).await;
        backend.until_followed(0).await;
        // Behind the moment nothing more is read.
        client.send(&[add(4, "s", "b")]).await;
        backend.open();
        assert!(client.reply_to(2).await.is_ok());
        assert_eq!(client.closed().await.code, close::GOING_AWAY);
        client.ended().await;
        drop(client);
        ending.await.unwrap().unwrap();
        assert_eq!(backend.added(), ["follow t", "a"]);
    }
}

#[tokio::test]
async fn what_never_ends_is_not_waited_for() {
    let service = closing_all_at_once().await;
    let mut client = service.client(Encoding::Binary).await;
    client.send(&[add(1, "slow", "a")]).await;
    service.backend.until_slow(1).await;
    let start = Instant::now();
    let ending = tokio::spawn(service.shut_down());
    assert_eq!(client.closed().await.code, close::GOING_AWAY);
    client.ended().await;
    drop(client);
    ending.await.unwrap().unwrap();
    let took = start.elapsed();
    assert!(took <= CLOSE_TIMEOUT + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_socket_is_served_until_its_moment() {
    let service = Service::with(Config {
        drain: Duration::from_secs(4),
        ..Config::default()
    })
    .await;
    let mut one = service.client(Encoding::Binary).await;
    let mut other = service.client(Encoding::Json).await;
    let start = Instant::now();
    let ending = tokio::spawn(service.shut_down());
    let mut left = tokio::select! {
        closed = one.receive() => {
            assert_eq!(closed.unwrap_err().code, close::GOING_AWAY);
            one.ended().await;
            drop(one);
            other
        }
        closed = other.receive() => {
            assert_eq!(closed.unwrap_err().code, close::GOING_AWAY);
            other.ended().await;
            drop(other);
            one
        }
    };
    left.send(&[add(1, "s", "a")]).await;
    assert!(left.reply_to(1).await.is_ok());
    assert_eq!(left.closed().await.code, close::GOING_AWAY);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    left.ended().await;
    drop(left);
    ending.await.unwrap().unwrap();
    // Its sockets are gone, so the rest of the period is not waited for.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}
