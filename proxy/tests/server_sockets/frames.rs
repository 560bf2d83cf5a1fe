//! Invalid frames: each closes its own socket, or is answered, and harms no other client.

use futures_util::SinkExt;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, ServerMessage, close};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{TestClient, add, wait};
use crate::test_server::TestServer;

/// Sends a frame, and returns the code that the server closes the socket with. Checks that another
/// client goes on waiting.
async fn close_code_after(server: &TestServer, encoding: Encoding, frame: Vec<u8>) -> u16 {
    let mut other = server.client(encoding).await;
    other.send(&[wait(1)]).await;
    server.backend.until_waits(1).await;

    let mut client = server.client(encoding).await;
    client.send_bytes(frame).await;
    let closed = client.closed().await;
    assert!(!closed.reason.is_empty() && closed.reason.len() <= 123);
    client.ended().await;

    other.ping(2).await;
    server.backend.wake_waits();
    assert!(other.reply_to(1).await.is_ok());
    server.backend.until_waits(0).await;
    closed.code
}

#[tokio::test]
async fn garbage_closes_the_socket() {
    let server = TestServer::start().await;
    for frame in [&b"\xff"[..], b"\x03", b"\x00\x01\x09", &[0xff; 1000]] {
        let code = close_code_after(&server, Encoding::Binary, frame.into()).await;
        assert_eq!(code, close::MALFORMED, "{frame:?}");
    }
    let frames = [
        "garbage",
        "[]",
        "{}",
        "1",
        r#"{"request":{}}"#,
        r#"{"request":{"id":-1,"operation":{"read_latest":{"stream":"s","count":1}}}}"#,
        r#"{"request":{"id":"1","operation":{}}}"#,
        r#"{"unknown":{"id":1}}"#,
        r#"{"backend":{}}"#,
        r#"{"ping":{"nonce":1},"cancel":{"id":1}}"#,
    ];
    for frame in frames {
        let code = close_code_after(&server, Encoding::Json, frame.into()).await;
        assert_eq!(code, close::MALFORMED, "{frame}");
    }
}

#[tokio::test]
async fn a_truncated_frame_closes_the_socket() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let client = server.client(encoding).await;
        let whole = client.frame(&[add(1, "stream", "value")]);
        for length in 1..whole.len() {
            let mut client = server.client(encoding).await;
            client.send_bytes(whole[..length].into()).await;
            assert_eq!(
                client.closed().await.code,
                close::MALFORMED,
                "{length} bytes"
            );
            client.ended().await;
        }
    }
    server.serves_other_clients().await;
}

#[tokio::test]
async fn requests_before_a_violation_are_performed_and_answered() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let mut frame = client.frame(&[add(1, "s", "a"), add(2, "s", "b")]);
        frame.extend(if encoding.is_text() {
            &b"\n{}"[..]
        } else {
            &b"\x7f"[..]
        });
        client.send_bytes(frame).await;
        assert!(client.reply_to(1).await.is_ok());
        assert!(client.reply_to(2).await.is_ok());
        assert_eq!(client.closed().await.code, close::MALFORMED);
        assert_eq!(server.backend.begun_adds(), ["a", "b"]);
    }
}

#[tokio::test]
async fn a_json_request_that_names_its_id_is_answered() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Json).await;
    let long = "x".repeat(100_000);
    let operations = [
        r#"{"unknown":{}}"#.to_owned(),
        format!(r#"{{"{long}":{{}}}}"#),
        r#"{"read_latest":{"stream":"s"}}"#.to_owned(),
        r#"{"read_latest":{"stream":1,"count":1}}"#.to_owned(),
        r#"{"read_latest":{"stream":"s","count":-1}}"#.to_owned(),
        r#"{"add":{"stream":"s","fields":[["name"]]}}"#.to_owned(),
        r#""add""#.to_owned(),
        "null".to_owned(),
    ];
    for (id, operation) in operations.iter().enumerate() {
        let frame = format!(
            "{{\"request\":{{\"id\":{id},\"operation\":{operation}}}}}\n{{\"ping\":{{\"nonce\":{id}}}}}"
        );
        client.send_bytes(frame.into()).await;
        let error = client.reply_to(id as u64).await.unwrap_err();
        assert_eq!(error.code(), "ERR");
        assert!(
            error.message().len() < 300,
            "{} bytes",
            error.message().len()
        );
        client.pong(id as u64).await;
    }
    client.send_bytes(r#"{"request":{"id":9}}"#.into()).await;
    assert_eq!(client.error_code_of(9).await, "ERR");
}

#[tokio::test]
async fn a_json_request_that_reuses_an_id_in_flight_is_a_duplicate_even_if_unknown() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Json).await;
    client.send(&[wait(1)]).await;
    client
        .send_bytes(r#"{"request":{"id":1,"operation":{"unknown":{}}}}"#.into())
        .await;
    assert_eq!(client.closed().await.code, close::DUPLICATE_ID);
    server.backend.until_waits(0).await;
}

#[tokio::test]
async fn a_binary_request_that_names_its_id_is_answered() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Binary).await;
    let requests: [&[u8]; 4] = [
        // The unknown operation 77.
        &[1, 6, 7, 77, 3, 1, b's', 1],
        // A `read_latest` without its count.
        &[1, 5, 7, 1, 2, 1, b's'],
        // Nothing after the id.
        &[1, 1, 7],
        // An unknown subscription.
        &[3, 3, 7, 9, 0],
    ];
    for (nonce, request) in (1..).zip(requests) {
        let ping = client.frame(&[ClientMessage::Ping { nonce }]);
        client.send_bytes([request, &ping].concat()).await;
        assert_eq!(client.error_code_of(7).await, "ERR");
        client.pong(nonce).await;
    }
}

#[tokio::test]
async fn unknown_json_fields_and_empty_lines_are_ignored() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Json).await;
    let frame = concat!(
        "\n",
        r#"{"request":{"new":[1],"id":1,"operation":{"read_latest":{"stream":"s","new":{},"count":1}}}}"#,
        "\n \n",
        r#"{"ping":{"nonce":2,"new":null}}"#,
        "\n",
    );
    client.send_bytes(frame.into()).await;
    let replies = [
        client.receive().await.unwrap(),
        client.receive().await.unwrap(),
    ];
    assert!(replies.contains(&ServerMessage::Pong { nonce: 2 }));
    assert!(
        replies
            .iter()
            .any(|reply| matches!(reply, ServerMessage::Reply { id: 1, .. }))
    );
}

#[tokio::test]
async fn an_empty_frame_is_ignored() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        client.send_bytes(Vec::new()).await;
        client.ping(1).await;
    }
}

#[tokio::test]
async fn a_frame_of_the_other_type_closes_the_socket() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        let frame = if encoding.is_text() {
            Message::binary("x")
        } else {
            Message::text("x")
        };
        client.socket.send(frame).await.unwrap();
        assert_eq!(client.closed().await.code, close::WRONG_FRAME_TYPE);
        client.ended().await;
    }
    server.serves_other_clients().await;
}

#[tokio::test]
async fn a_duplicate_id_closes_the_socket_and_ends_its_waits() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = server.client(encoding).await;
        client.send(&[wait(1), wait(2)]).await;
        server.backend.until_waits(2).await;
        client.send(&[add(1, "s", "v")]).await;
        assert_eq!(client.closed().await.code, close::DUPLICATE_ID);
        server.backend.until_waits(0).await;
        client.ended().await;
    }
    assert!(server.backend.begun_adds().is_empty());
    server.serves_other_clients().await;
}

#[tokio::test]
async fn an_invalid_websocket_frame_closes_the_socket() {
    let server = TestServer::start().await;
    let wire: [(&[u8], u16); 4] = [
        // Not masked.
        (b"\x82\x01x", 1002),
        // A reserved bit.
        (b"\xf2\x81\0\0\0\0x", 1002),
        // A continuation of nothing.
        (b"\x80\x81\0\0\0\0x", 1002),
        // Text that is not UTF-8.
        (b"\x81\x81\0\0\0\0\xff", 1007),
    ];
    for &encoding in Encoding::ALL {
        for (bytes, code) in wire {
            let mut client = server.client(encoding).await;
            client.socket.get_mut().write_all(bytes).await.unwrap();
            assert_eq!(client.closed().await.code, code, "{bytes:?}");
        }
    }
    server.serves_other_clients().await;
}

#[tokio::test]
async fn fragments_are_reassembled() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client: TestClient = server.client(encoding).await;
        let whole = client.frame(&[ClientMessage::Ping { nonce: 1 << 40 }]);
        let first = if encoding.is_text() {
            Data::Text
        } else {
            Data::Binary
        };
        let mut kind = first;
        for byte in &whole {
            let frame = Frame::message(vec![*byte], OpCode::Data(kind), false);
            client.socket.send(Message::Frame(frame)).await.unwrap();
            kind = Data::Continue;
        }
        let end = Frame::message(Vec::new(), OpCode::Data(Data::Continue), true);
        client.socket.send(Message::Frame(end)).await.unwrap();
        client.pong(1 << 40).await;
    }
}
