//! Servers that refuse the connection, or violate the WebSocket protocol.

use std::time::Duration;

use streamgate_client::{Client, ConnectionState};
use streamgate_protocol::codec::Encoding;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Accepts the next connection, and reads its handshake.
async fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(request).unwrap())
}

/// Answers the next handshake with this status and this header.
async fn refuse(listener: &TcpListener, status: &str, header: &str) {
    let (mut stream, _) = accept(listener).await;
    let answer = format!("HTTP/1.1 {status}\r\n{header}content-length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/ws", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn a_refusal_that_blames_the_client_ends_it_with_an_error_that_names_the_status() {
    for (status, code) in [
        ("400 Bad Request", "PROTOCOL"),
        ("401 Unauthorized", "NOAUTH"),
        ("403 Forbidden", "NOPERM"),
        ("404 Not Found", "PROTOCOL"),
        ("426 Upgrade Required", "PROTOCOL"),
    ] {
        let (listener, url) = listen().await;
        let builder = Client::builder(&url).retry_first_connect(true);
        let (connected, ()) = tokio::join!(builder.connect(), refuse(&listener, status, ""));
        let error = connected.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(status), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_unavailable_is_not_asked_again_before_it_wants_to_be() {
    let (listener, url) = listen().await;
    let client = Client::builder(&url).retry_first_connect(true).connect();
    let client = tokio::spawn(client);
    for status in ["503 Service Unavailable", "429 Too Many Requests"] {
        refuse(&listener, status, "Retry-After: 1\r\n").await;
        let refused = Instant::now();
        refuse(&listener, "502 Bad Gateway", "").await;
        // The client read the answer before it was counted here.
        let pause = refused.elapsed();
        assert!(pause > Duration::from_millis(900), "{pause:?}");
    }
    client.abort();
}

#[tokio::test]
async fn text_that_is_not_utf_8_stops_the_client_and_the_server_learns_why() {
    let (listener, url) = listen().await;
    let builder = Client::builder(&url).encoding(Encoding::Json);
    let client = tokio::spawn(builder.connect());
    let (stream, request) = accept(&listener).await;
    let (name, mut stream) = ("sec-websocket-key: ", stream);
    let key = request
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with(name));
    let key = key.unwrap()[name.len()..].trim();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-protocol: streamgate.v1.json\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    let welcome = br#"{"welcome":{"server":"s","features":[],"max_in_flight":256,"max_frame_bytes":4194304,"heartbeat_ms":15000}}"#;
    let length = u8::try_from(welcome.len()).unwrap();
    assert!(length < 126);
    stream.write_all(&[0x81, length]).await.unwrap();
    stream.write_all(welcome).await.unwrap();
    let client = client.await.unwrap().unwrap();
    // A text frame of two bytes.
    stream.write_all(&[0x81, 2, 0xff, 0xfe]).await.unwrap();
    let mut state = client.state();
    while !matches!(state, ConnectionState::Closed { .. }) {
        state = client.state_changed(&state).await;
    }
    assert!(
        matches!(state, ConnectionState::Closed { code: 1007, .. }),
        "{state:?}"
    );
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    // A masked close frame of two bytes is the last.
    let [.., 0x88, 0x82, a, b, _, _, high, low] = rest[..] else {
        panic!("{rest:?}");
    };
    assert_eq!(u16::from_be_bytes([high ^ a, low ^ b]), 1007);
}
