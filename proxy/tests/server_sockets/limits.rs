//! Every bound, hit.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use streamgate::{Config, MIN_HEARTBEAT_MS};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::{MIN_FRAME_BYTES, MIN_REQUESTS_IN_FLIGHT};
use streamgate_protocol::{CacheResult, ClientMessage, Reply, ServerMessage, close};

use crate::client::{add, large, wait, wait_for};
use crate::test_server::Service;

#[tokio::test]
async fn requests_beyond_the_grant_are_answered_with_overloaded() {
    let max_in_flight = MIN_REQUESTS_IN_FLIGHT;
    for &encoding in Encoding::ALL {
        let service = Service::with(Config {
            max_in_flight,
            ..Config::default()
        })
        .await;
        let mut client = service.client(encoding).await;
        let granted = u64::from(max_in_flight);
        let waits: Vec<_> = (0..granted).map(wait).collect();
        client.send(&waits).await;
        client.send(&[add(granted, "s", "v")]).await;
        assert_eq!(client.error_of(granted).await, "OVERLOADED");
        assert!(service.backend.added().is_empty(), "nothing was done");
        // One less, one more: also in one frame.
        client
            .send(&[ClientMessage::Cancel { id: 0 }, add(granted, "s", "v")])
            .await;
        assert!(client.reply_to(granted).await.is_ok());
        service.serves_others().await;
    }
}

#[tokio::test]
async fn the_bytes_of_waits_are_bounded() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
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
        service.backend.until_waits(taken).await;
        // What cannot wait is still taken, and a wait in the place of another.
        client.send(&[add(1100, "s", "v")]).await;
        assert!(client.reply_to(1100).await.is_ok());
        client
            .send(&[ClientMessage::Cancel { id: 0 }, wait_for(refused[0], &name)])
            .await;
        client.ping(2).await;
        service.backend.until_waits(taken).await;
    }
}

#[tokio::test]
async fn a_frame_of_the_largest_size_is_taken() {
    let max_frame_bytes = MIN_FRAME_BYTES;
    let service = Service::with(Config {
        max_frame_bytes,
        ..Config::default()
    })
    .await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        let envelope = client.frame(&[add(1, "s", &"x".repeat(1 << 20))]).len() - (1 << 20);
        let value = "x".repeat(max_frame_bytes as usize - envelope);
        let mut frame = client.frame(&[add(1, "s", &value)]);
        assert!(
            frame.len() - max_frame_bytes as usize <= 1,
            "the length is a byte longer"
        );
        if frame.len() > max_frame_bytes as usize {
            frame = client.frame(&[add(1, "s", &value[1..])]);
        }
        client.send_bytes(frame).await;
        assert!(client.reply_to(1).await.is_ok());
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_closes_the_socket_and_the_client_sees_why() {
    let service = Service::start().await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        client.send(&[wait(1)]).await;
        service.backend.until_waits(1).await;
        let frame = vec![b' '; 16 * 1024 * 1024 + 1];
        // All of it is written before anything is read, as a browser may do.
        client.send_bytes(frame).await;
        assert_eq!(client.closed().await.code, close::FRAME_TOO_LARGE);
        client.ended().await;
        service.backend.until_waits(0).await;
    }
    service.serves_others().await;
}

#[tokio::test]
async fn a_fragmented_frame_over_the_limit_closes_the_socket() {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let max_frame_bytes = MIN_FRAME_BYTES;
    let service = Service::with(Config {
        max_frame_bytes,
        ..Config::default()
    })
    .await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
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
async fn an_answer_over_the_limit_is_refused_and_a_large_one_arrives() {
    let service = Service::start().await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        client
            .send(&[large(1, 16 << 20), large(2, 15 << 20), large(3, 1)])
            .await;
        assert_eq!(client.error_of(1).await, "LIMIT");
        let entries = client
            .reply_to(2)
            .await
            .and_then(Reply::into_entries)
            .unwrap();
        assert_eq!(entries[0].1[0].1.len(), 15 << 20);
        assert!(client.reply_to(3).await.is_ok());
    }
}

#[tokio::test]
async fn requests_being_performed_are_bounded_in_bytes() {
    // A client that is not listened to meanwhile is not taken for a silent one.
    let heartbeat_ms = 500;
    let service = Service::with(Config {
        heartbeat_ms,
        ..Config::default()
    })
    .await;
    let client = service.client(Encoding::Binary).await;
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
    service.backend.until_slow(16).await;
    // Time to read more, if it were read. What is asserted holds however long it takes.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(!sending.is_finished(), "64 MiB fit nowhere on the way");
    service.serves_others().await;
    service.backend.open();
    service.backend.until_added(64).await;
    assert!(
        service.backend.most_slow() <= 17,
        "{}",
        service.backend.most_slow()
    );
    let _sink = sending.await.unwrap();
    assert!(stream.next().await.is_some());
}

#[tokio::test]
async fn silence_closes_the_socket() {
    let heartbeat_ms = MIN_HEARTBEAT_MS;
    let service = Service::with(Config {
        heartbeat_ms,
        ..Config::default()
    })
    .await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        client.send(&[wait(1)]).await;
        service.backend.until_waits(1).await;
        let silent_since = tokio::time::Instant::now();
        assert_eq!(client.closed().await.code, close::HEARTBEAT_MISSED);
        let silence = silent_since.elapsed();
        assert!(silence >= Duration::from_millis(190), "{silence:?}");
        service.backend.until_waits(0).await;
        client.ended().await;
    }
}

#[tokio::test]
async fn a_client_that_is_heard_is_not_silent() {
    let heartbeat_ms = 500;
    let service = Service::with(Config {
        heartbeat_ms,
        ..Config::default()
    })
    .await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        // Over two heartbeats in all, and never one without a word.
        for nonce in 0..12 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.ping(nonce).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_harms_no_other() {
    let write_timeout = Duration::from_millis(200);
    let service = Service::with(Config {
        write_timeout,
        ..Config::default()
    })
    .await;
    for &encoding in Encoding::ALL {
        let mut client = service.client(encoding).await;
        client.send(&[wait(0)]).await;
        service.backend.until_waits(1).await;
        // More than the buffers on the way hold.
        client.send(&[large(1, 15 << 20)]).await;
        client.send(&[add(2, "s", "v")]).await;
        service.serves_others().await;
        service.backend.until_waits(0).await;
        // It reads at last, in time to learn why.
        assert_eq!(client.closed().await.code, close::SLOW_READER);
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not_closed() {
    let write_timeout = Duration::from_millis(400);
    let service = Service::with(Config {
        write_timeout,
        ..Config::default()
    })
    .await;
    let mut client = service.client(Encoding::Binary).await;
    client.send(&[large(1, 15 << 20)]).await;
    // Below the frames: a little at a time, over a longer time than the timeout in all.
    let stream = client.socket.get_mut();
    let (mut taken, mut buffer) = (0, vec![0; 2 << 20]);
    while taken < 7 << 20 {
        tokio::time::sleep(Duration::from_millis(80)).await;
        taken += tokio::io::AsyncReadExt::read(stream, &mut buffer)
            .await
            .unwrap();
    }
    let mut frames = 0;
    // The rest: fragments, of which the first began somewhere in the bytes above.
    while taken < 15 << 20 {
        let read = tokio::io::AsyncReadExt::read(stream, &mut buffer)
            .await
            .unwrap();
        assert!(read > 0, "closed after {taken} bytes");
        taken += read;
        frames += 1;
    }
    assert!(frames > 0);
}

#[tokio::test]
async fn replies_to_a_client_that_does_not_read_are_not_heaped_up() {
    let service = Service::start().await;
    let mut client = service.client(Encoding::Binary).await;
    let frames: Vec<_> = (0..256)
        .map(|id| client.message(client.frame(&[large(id, 256 << 10), add(1000 + id, "s", "v")])))
        .collect();
    for frame in frames {
        client.socket.feed(frame).await.unwrap();
        client.socket.flush().await.unwrap();
    }
    // 64 MiB of answers: the server takes the requests only as the answers leave.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let taken = service.backend.added().len();
    assert!(
        taken < 200,
        "{taken} of 256 requests were performed for a client that reads nothing"
    );
    for _ in 0..512 {
        assert!(client.reply().await.1.is_ok());
    }
}

#[tokio::test]
async fn one_socket_too_many_is_refused_before_the_upgrade() {
    let service = Service::with(Config {
        max_sockets: 2,
        ..Config::default()
    })
    .await;
    let first = service.client(Encoding::Binary).await;
    let mut second = service.client(Encoding::Json).await;
    match crate::client::Client::try_connect(service.address, Encoding::Binary).await {
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            assert_eq!(response.status(), 503);
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a third socket was taken"),
    }
    second.ping(1).await;
    first.close().await;
    // The place is free when the server's side has ended, which is right behind the client's.
    let freed = async {
        while crate::client::Client::try_connect(service.address, Encoding::Binary)
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
