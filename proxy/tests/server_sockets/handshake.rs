//! Handshakes that the server refuses, requests sent along with a handshake, and the hello.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use streamgate::{Config, Server};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::{MAX_CLIENT_ID_BYTES, MIN_CLIENT_FRAME_BYTES};
use streamgate_protocol::message::Hello;
use streamgate_protocol::{ClientMessage, close};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::client::{TestClient, add, hello};
use crate::http::exchange;
use crate::stub_backend::StubBackend;
use crate::test_server::{TestServer, listen};

pub(crate) const HANDSHAKE: &str = "connection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

async fn get(address: SocketAddr, headers: &str) -> String {
    exchange(
        address,
        &format!("GET /v1/ws HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"),
    )
    .await
}

#[tokio::test]
async fn an_unknown_subprotocol_is_refused_with_the_known_ones() {
    let server = TestServer::start().await;
    let offers = [
        "",
        "sec-websocket-protocol: mqtt, streamgate.v9.bin\r\nconnection: close\r\n",
    ];
    for offer in offers {
        let response = get(server.address, &format!("{HANDSHAKE}{offer}")).await;
        assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
        assert!(
            response.contains("streamgate.v1.bin, streamgate.v1.json"),
            "{response}"
        );
    }
}

#[tokio::test]
async fn binary_is_chosen_if_offered() {
    let server = TestServer::start().await;
    let offers = [
        (
            "sec-websocket-protocol: streamgate.v1.json, streamgate.v1.bin\r\n",
            "streamgate.v1.bin",
        ),
        (
            "sec-websocket-protocol: other,streamgate.v1.json\r\n",
            "streamgate.v1.json",
        ),
    ];
    for (offer, chosen) in offers {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = upgrade(&mut stream, &format!("{HANDSHAKE}{offer}"), &[]).await;
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(
            head.contains(&format!("sec-websocket-protocol: {chosen}\r\n")),
            "{head}"
        );
    }
}

#[tokio::test]
async fn an_invalid_handshake_is_refused() {
    let server = TestServer::start().await;
    let offer = "sec-websocket-protocol: streamgate.v1.bin\r\n";
    let handshakes = [
        (format!("{offer}connection: close\r\n"), 426),
        (
            format!("{HANDSHAKE}{offer}").replace("version: 13", "version: 8"),
            426,
        ),
        (format!("{HANDSHAKE}{offer}").replace("AAAA==", "=="), 400),
    ];
    for (headers, status) in handshakes {
        let response = get(server.address, &headers).await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{headers}: {response}"
        );
        let names_the_upgrade = response.contains("\r\nupgrade: websocket\r\n");
        assert_eq!(names_the_upgrade, status == 426, "{response}");
    }
    let post =
        "POST /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let response = exchange(server.address, post).await;
    assert!(response.starts_with("HTTP/1.1 426 "), "{response}");
}

#[tokio::test]
async fn an_unknown_path_is_not_found_whether_or_not_it_is_a_handshake() {
    let server = TestServer::start().await;
    for path in ["/v1/wss", "/v2/ws", "/ws", "/v1/ws/"] {
        for headers in ["connection: close\r\n", HANDSHAKE] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
            let response = exchange(server.address, &request).await;
            assert!(response.starts_with("HTTP/1.1 404 "), "{path}: {response}");
        }
    }
}

#[tokio::test]
async fn a_full_server_and_a_draining_one_say_when_to_try_again() {
    let config = Config::default().max_sockets(1);
    let server = Server::new(Arc::new(StubBackend::new()), config).unwrap();
    let (address, listener) = listen().await;
    let serving = tokio::spawn(axum::serve(listener, server.router()).into_future());
    let offer = format!("{HANDSHAKE}sec-websocket-protocol: streamgate.v1.bin\r\n");
    let mut client = TestClient::connect(address, Encoding::Binary).await;
    let full = get(address, &offer).await;
    let (_, ()) = tokio::join!(client.closed(), server.close());
    let draining = get(address, &offer).await;
    for response in [full, draining] {
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
        assert!(response.contains("\r\nretry-after: 1\r\n"), "{response}");
    }
    serving.abort();
}

#[tokio::test]
async fn requests_may_follow_the_handshake_at_once() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut payload = Vec::new();
        encoding.append(&mut payload, &hello());
        encoding.append(&mut payload, &add(1, "s", "v"));
        let kind = if encoding.is_text() {
            Data::Text
        } else {
            Data::Binary
        };
        let mut frame = Frame::message(payload, OpCode::Data(kind), true);
        frame.header_mut().mask = Some([0; 4]);
        let mut wire = Vec::new();
        frame.format(&mut wire).unwrap();

        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let offer = format!("sec-websocket-protocol: {}\r\n", encoding.subprotocol());
        upgrade(&mut stream, &format!("{HANDSHAKE}{offer}"), &wire).await;
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let mut client = TestClient::over(socket, encoding);
        client.welcome().await;
        assert!(client.reply_to(1).await.is_ok());
    }
}

#[tokio::test]
async fn nothing_comes_before_the_hello() {
    let server = TestServer::start().await;
    let cancel = || ClientMessage::Cancel { id: 1 };
    for &encoding in Encoding::ALL {
        for messages in [
            vec![ClientMessage::Ping { nonce: 1 }],
            vec![add(1, "s", "v"), hello()],
            vec![cancel()],
        ] {
            let mut client = TestClient::connect_silently(server.address, encoding).await;
            client.send(&messages).await;
            // Not even a welcome.
            assert_eq!(client.receive().await.unwrap_err().code, close::MALFORMED);
        }
    }
    // Of a request with an unknown operation, the id alone can be decoded.
    for (encoding, frame) in [
        (Encoding::Binary, &[1, 3, 1, 77, 0][..]),
        (Encoding::Json, br#"{"request":{"id":1,"operation":{}}}"#),
    ] {
        let mut client = TestClient::connect_silently(server.address, encoding).await;
        client.send_bytes(frame.to_vec()).await;
        assert_eq!(client.receive().await.unwrap_err().code, close::MALFORMED);
    }
    assert!(server.backend.begun_adds().is_empty());
}

#[tokio::test]
async fn a_second_hello_closes_the_socket() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = TestClient::connect(server.address, encoding).await;
        client.welcome().await;
        client.send(&[hello()]).await;
        assert_eq!(client.closed().await.code, close::MALFORMED);
    }
}

#[tokio::test]
async fn a_hello_out_of_bounds_closes_the_socket() {
    let server = TestServer::start().await;
    let long = "x".repeat(MAX_CLIENT_ID_BYTES);
    let refused = |client: &str, max_frame_bytes| Hello::new(client.to_owned(), max_frame_bytes);
    for &encoding in Encoding::ALL {
        for hello in [
            refused("", u32::MAX),
            refused("a client", u32::MAX),
            refused("grö", u32::MAX),
            refused(&format!("{long}x"), u32::MAX),
            refused("client", MIN_CLIENT_FRAME_BYTES - 1),
        ] {
            let mut client = TestClient::connect_silently(server.address, encoding).await;
            client.send(&[ClientMessage::Hello(hello)]).await;
            assert_eq!(client.receive().await.unwrap_err().code, close::MALFORMED);
        }
        let mut client = TestClient::connect_silently(server.address, encoding).await;
        let mut hello = Hello::new(&*long, MIN_CLIENT_FRAME_BYTES);
        hello.features = vec!["unknown".into()];
        hello.token = Some("ignored".into());
        client.send(&[ClientMessage::Hello(hello)]).await;
        assert_eq!(client.welcome().await.features, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_client_that_never_says_hello_is_closed() {
    let server = TestServer::with(Config::default().heartbeat_ms(100)).await;
    for &encoding in Encoding::ALL {
        let mut client = TestClient::connect_silently(server.address, encoding).await;
        let closed = loop {
            // An empty frame is heard, and is no hello.
            let frame = client.message(Vec::new());
            let _ = client.socket.send(frame).await;
            let closed = tokio::time::timeout(Duration::from_millis(20), client.closed());
            if let Ok(closed) = closed.await {
                break closed;
            }
        };
        assert_eq!(closed.code, close::HEARTBEAT_MISSED);
    }
}

/// Sends a handshake and the bytes after it, and returns the head of the response, in lower case.
async fn upgrade(stream: &mut TcpStream, headers: &str, after: &[u8]) -> String {
    let mut request =
        format!("GET /v1/ws HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").into_bytes();
    request.extend(after);
    stream.write_all(&request).await.unwrap();
    let mut head = Vec::new();
    // Byte by byte: the frames after it belong to the client.
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}
