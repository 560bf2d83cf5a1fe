//! Every bound of a server and of a socket, reached.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use streamgate::{Config, MIN_HEARTBEAT_MS};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::{MAX_FIELDS, MAX_IDS, MIN_FRAME_BYTES, MIN_REQUESTS_IN_FLIGHT};
use streamgate_protocol::{CacheResult, ClientMessage, Operation, Reply, ServerMessage, close};

use crate::client::{TestClient, add, large_read, wait, wait_for};
use crate::test_server::TestServer;

#[tokio::test]
async fn requests_beyond_max_in_flight_are_answered_with_overloaded() {
    let max_in_flight = MIN_REQUESTS_IN_FLIGHT;
    for &encoding in Encoding::ALL {
        let server = TestServer::with(Config::default().max_in_flight(max_in_flight)).await;
        let mut client = server.client(encoding).await;
        let granted = u64::from(max_in_flight);
        let waits: Vec<_> = (0..granted).map(wait).collect();
        client.send(&waits).await;
        client.send(&[add(granted, "s", "v")]).await;
        assert_eq!(client.error_code_of(granted).await, "OVERLOADED");
        assert!(server.backend.begun_adds().is_empty(), "nothing was done");
        // A cancelled request makes room for the next, also within a frame.
        client
            .send(&[ClientMessage::Cancel { id: 0 }, add(granted, "s", "v")])
            .await;
        assert!(client.reply_to(granted).await.is_ok());
        server.serves_other_clients().await;
    }
}

#[tokio::test]
async fn a_list_beyond_its_bound_is_answered_with_limit_and_reaches_no_backend() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let add = Operation::Add {
            stream: "s".into(),
            fields: vec![("".into(), "".into()); MAX_FIELDS + 1],
            maxlen: None,
        };
        let ack = Operation::Ack {
            stream: "s".into(),
            group: "g".into(),
            ids: vec!["".into(); MAX_IDS + 1],
        };
        for (id, operation) in [add, ack].into_iter().enumerate() {
            let id = id as u64;
            client
                .send(&[ClientMessage::Request { id, operation }])
                .await;
            assert_eq!(client.error_code_of(id).await, "LIMIT");
        }
        assert!(server.backend.begun_adds().is_empty(), "nothing was done");
        client.ping(1).await;
    }
}

#[tokio::test]
async fn the_bytes_of_waits_are_bounded() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let name = "n".repeat(16 * 1024);
        let each = client.frame(&[wait_for(1000, &name)]).len();
        for id in 0..1100 {
            client.send(&[wait_for(id, &name)]).await;
        }
        client.send(&[ClientMessage::Ping { nonce: 1 }]).await;
        let mut refused = Vec::new();
        while let ServerMessage::Reply { id, outcome } = client.receive().await.unwrap() {
            assert_eq!(CacheResult::from(outcome).unwrap_err().code(), "OVERLOADED");
            refused.push(id);
        }
        let taken = 1100 - refused.len();
        assert!(
            (15 << 20..=16 << 20).contains(&(taken * each)),
            "{taken} of {each} bytes"
        );
        server.backend.until_waits(taken).await;
        // The server still takes a request that cannot wait, and a wait in the place of another.
        client.send(&[add(1100, "s", "v")]).await;
        assert!(client.reply_to(1100).await.is_ok());
        client
            .send(&[ClientMessage::Cancel { id: 0 }, wait_for(refused[0], &name)])
            .await;
        client.ping(2).await;
        server.backend.until_waits(taken).await;
    }
}

#[tokio::test]
async fn a_frame_of_the_largest_size_is_taken() {
    let max_frame_bytes = MIN_FRAME_BYTES;
    let server = TestServer::with(Config::default().max_frame_bytes(max_frame_bytes)).await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        let envelope = client.frame(&[add(1, "s", &"x".repeat(1 << 20))]).len() - (1 << 20);
        let value = "x".repeat(max_frame_bytes as usize - envelope);
        // The lengths of the value, and of the records around it, may be a byte longer each.
        let excess = client.frame(&[add(1, "s", &value)]).len() - max_frame_bytes as usize;
        let frame = client.frame(&[add(1, "s", &value[excess..])]);
        assert_eq!(frame.len(), max_frame_bytes as usize);
        client.send_bytes(frame).await;
        assert!(client.reply_to(1).await.is_ok());
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_closes_the_socket_and_the_client_sees_why() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        client.send(&[wait(1)]).await;
        server.backend.until_waits(1).await;
        let frame = vec![b' '; 16 * 1024 * 1024 + 1];
        // As a browser may do, it writes all before it reads anything.
        client.send_bytes(frame).await;
        assert_eq!(client.closed().await.code, close::FRAME_TOO_LARGE);
        client.ended().await;
        server.backend.until_waits(0).await;
    }
    server.serves_other_clients().await;
}

#[tokio::test]
async fn a_fragmented_frame_over_the_limit_closes_the_socket() {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let max_frame_bytes = MIN_FRAME_BYTES;
    let server = TestServer::with(Config::default().max_frame_bytes(max_frame_bytes)).await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        let mut kind = if encoding.is_text() {
            Data::Text
        } else {
            Data::Binary
        };
        for _ in 0..5 {
            let frame = Frame::message(vec![b' '; 1 << 20], OpCode::Data(kind), false);
            client.socket.send(Message::Frame(frame)).await.unwrap();
            kind = Data::Continue;
        }
        assert_eq!(client.closed().await.code, close::FRAME_TOO_LARGE);
        client.ended().await;
    }
}

#[tokio::test]
async fn a_reply_over_the_limit_is_refused_and_a_large_one_arrives() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        client
            .send(&[
                large_read(1, 16 << 20),
                large_read(2, 15 << 20),
                large_read(3, 1),
            ])
            .await;
        assert_eq!(client.error_code_of(1).await, "LIMIT");
        let entries = client
            .reply_to(2)
            .await
            .and_then(Reply::into_entries)
            .unwrap();
        assert_eq!(entries[0].fields[0].1.len(), 15 << 20);
        assert!(client.reply_to(3).await.is_ok());
    }
}

#[tokio::test]
async fn requests_being_performed_are_bounded_in_bytes() {
    let server = TestServer::start().await;
    let client = server.client(Encoding::Binary).await;
    let value = "x".repeat(1 << 20);
    let frames: Vec<_> = (0..64)
        .map(|id| client.message(client.frame(&[add(id, "slow", &value)])))
        .collect();
    let (mut sink, mut stream) = client.socket.split();
    let sending = tokio::spawn(async move {
        for frame in frames {
            sink.send(frame).await.unwrap();
        }
        sink
    });
    server.backend.until_slow_adds(16).await;
    let begun = || server.backend.begun_adds().len();
    server.until_unchanged(begun).await;
    assert!(!sending.is_finished(), "no buffer holds 64 MiB");
    server.backend.finish_slow_adds();
    server.backend.until_begun_adds(64).await;
    let max_slow_adds = server.backend.max_slow_adds();
    assert!(max_slow_adds <= 17, "{max_slow_adds}");
    let _sink = sending.await.unwrap();
    assert!(stream.next().await.is_some());
}

#[tokio::test]
async fn a_silent_client_is_closed() {
    let heartbeat_ms = MIN_HEARTBEAT_MS;
    let server = TestServer::with(Config::default().heartbeat_ms(heartbeat_ms)).await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        // Before its last message: on a busy machine, much time may pass until the test goes on.
        let silent_since = tokio::time::Instant::now();
        client.send(&[wait(1)]).await;
        server.backend.until_waits(1).await;
        assert_eq!(client.closed().await.code, close::HEARTBEAT_MISSED);
        let silence = silent_since.elapsed();
        assert!(silence >= Duration::from_millis(190), "{silence:?}");
        server.backend.until_waits(0).await;
        client.ended().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_harms_no_other_client() {
    let write_timeout = Duration::from_millis(200);
    let server = TestServer::with(Config::default().write_timeout(write_timeout)).await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        client.send(&[wait(0)]).await;
        server.backend.until_waits(1).await;
        // More than all buffers hold.
        client.send(&[large_read(1, 15 << 20)]).await;
        client.send(&[add(2, "s", "v")]).await;
        server.serves_other_clients().await;
        server.backend.until_waits(0).await;
        // It reads again, in time to learn why.
        assert_eq!(client.closed().await.code, close::SLOW_READER);
    }
}

#[tokio::test]
async fn replies_to_a_client_that_does_not_read_are_bounded() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Binary).await;
    let frames: Vec<_> = (0..256)
        .map(|id| {
            client.message(client.frame(&[large_read(id, 256 << 10), add(1000 + id, "s", "v")]))
        })
        .collect();
    for frame in frames {
        client.socket.feed(frame).await.unwrap();
        client.socket.flush().await.unwrap();
    }
    // 64 MiB of replies: the server takes the requests only as the replies leave.
    let begun = || server.backend.begun_adds().len();
    server.until_unchanged(begun).await;
    assert!(begun() < 200, "{} of 256 requests were performed", begun());
    for _ in 0..512 {
        assert!(client.reply().await.1.is_ok());
    }
}

#[tokio::test]
async fn a_socket_beyond_max_sockets_is_refused_before_the_upgrade() {
    let server =
        TestServer::with(Config::default().max_sockets(2).max_sockets_per_address(2)).await;
    let first = server.client(Encoding::Binary).await;
    let mut second = server.client(Encoding::Json).await;
    match TestClient::try_connect(server.address, Encoding::Binary).await {
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            assert_eq!(response.status(), 503);
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a third socket was taken"),
    }
    second.ping(1).await;
    first.close().await;
    // The server frees the place right after the client's end.
    let freed = async {
        while TestClient::try_connect(server.address, Encoding::Binary)
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed)
        .await
        .unwrap();
}
