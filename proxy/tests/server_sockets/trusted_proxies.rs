//! Addresses of clients behind proxies, and what one address may have.

use std::net::SocketAddr;
use std::time::Duration;

use streamgate::Config;
use streamgate_protocol::codec::Encoding;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::accept::read_to_end;
use crate::handshake::HANDSHAKE;
use crate::http::get;
use crate::test_server::TestServer;

const CLIENTS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

/// How a proxy says which client it forwards.
#[derive(Debug, Clone, Copy)]
enum Forwarding {
    ProxyProtocol,
    Header,
}

const FORWARDINGS: [Forwarding; 2] = [Forwarding::ProxyProtocol, Forwarding::Header];

impl Forwarding {
    /// Connects as a proxy does for a client.
    async fn connect(self, address: SocketAddr, client: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if let Self::ProxyProtocol = self {
            stream.write_all(&proxy_header(client)).await.unwrap();
        }
        stream
    }

    /// Makes a handshake for a client, and returns the connection and the status.
    async fn handshake(self, address: SocketAddr, client: &str) -> (TcpStream, u16) {
        let mut stream = self.connect(address, client).await;
        let forwarded = match self {
            Self::ProxyProtocol => String::new(),
            Self::Header => format!("x-forwarded-for: {client}\r\n"),
        };
        let offer = format!(
            "sec-websocket-protocol: {}\r\n",
            Encoding::Json.subprotocol()
        );
        let request =
            format!("GET /v1/ws HTTP/1.1\r\nhost: localhost\r\n{HANDSHAKE}{offer}{forwarded}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status_line = [0; 12];
        stream.read_exact(&mut status_line).await.unwrap();
        let status = std::str::from_utf8(&status_line[9..]).unwrap();
        (stream, status.parse().unwrap())
    }
}

/// Returns a header of the PROXY protocol, version 2, for TCP over IPv4.
pub(crate) fn proxy_header(client: &str) -> Vec<u8> {
    let client: std::net::Ipv4Addr = client.parse().unwrap();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client.octets());
    header.extend([127, 0, 0, 1, 0x10, 0, 0x20, 0]);
    header
}

pub(crate) fn behind_a_proxy() -> Config {
    Config::default().trusted_proxy("127.0.0.1".parse::<std::net::IpAddr>().unwrap())
}

#[tokio::test]
async fn an_address_has_its_share_of_the_sockets() {
    for forwarding in FORWARDINGS {
        let server = TestServer::with(behind_a_proxy().max_sockets_per_address(2)).await;
        let mut sockets = Vec::new();
        for client in CLIENTS {
            for expected in [101, 101, 503, 503] {
                let (socket, status) = forwarding.handshake(server.address, client).await;
                assert_eq!(status, expected, "{forwarding:?}: {client}");
                sockets.push(socket);
            }
        }
        // The refused ones are disconnected, and told when to come back.
        let response = read_to_end(&mut sockets[2]).await;
        let response = String::from_utf8(response).unwrap().to_lowercase();
        assert!(response.contains("\r\nretry-after: 1\r\n"), "{response}");
        assert!(response.contains("\r\nconnection: close\r\n"), "{response}");
        // The proxy itself speaks for many.
        for _ in 0..3 {
            server.client(Encoding::Json).await;
        }
        // An address that leaves can come back.
        drop(sockets);
        let wait = async {
            while forwarding.handshake(server.address, CLIENTS[0]).await.1 != 101 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::client::TIMEOUT, wait)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn by_default_an_address_may_have_half_of_the_sockets() {
    let server = TestServer::with(behind_a_proxy().max_sockets(4)).await;
    let mut sockets = Vec::new();
    for (client, expected) in CLIENTS.into_iter().zip([[101, 101, 503], [101, 101, 503]]) {
        for expected in expected {
            let (socket, status) = FORWARDINGS[1].handshake(server.address, client).await;
            assert_eq!(status, expected, "{client}");
            sockets.push(socket);
        }
    }
}

#[tokio::test]
async fn an_address_makes_room_for_its_own_connections() {
    let config = behind_a_proxy()
        .max_handshakes_per_address(2)
        .handshake_timeout(Duration::from_secs(600));
    let server = TestServer::with(config).await;
    let proxy = Forwarding::ProxyProtocol;
    let mut other = proxy.connect(server.address, CLIENTS[1]).await;
    let mut connections = Vec::new();
    for _ in 0..6 {
        connections.push(proxy.connect(server.address, CLIENTS[0]).await);
    }
    for connection in &mut connections[..4] {
        assert!(read_to_end(connection).await.is_empty());
    }
    // The others are served.
    for stream in connections.iter_mut().skip(4).chain([&mut other]) {
        let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request).await.unwrap();
        assert!(read_to_end(stream).await.ends_with(b"\r\n\r\nok"));
    }
}

#[tokio::test]
async fn a_stranger_cannot_choose_its_address() {
    let server = TestServer::with(Config::default().max_sockets_per_address(1)).await;
    let header = Forwarding::Header;
    let (_socket, status) = header.handshake(server.address, CLIENTS[0]).await;
    assert_eq!(status, 101);
    let (_refused, status) = header.handshake(server.address, CLIENTS[1]).await;
    assert_eq!(status, 503);
    let proxy = Forwarding::ProxyProtocol;
    let (_refused, status) = proxy.handshake(server.address, CLIENTS[1]).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_proxy_that_checks_the_servers_health_needs_no_header() {
    let server = TestServer::with(behind_a_proxy()).await;
    assert!(
        get(server.address, "/healthz")
            .await
            .ends_with("\r\n\r\nok")
    );
    // Its own header of the PROXY protocol is `LOCAL`, with or without an address.
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(local).await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with(b"\r\n\r\nok"));
}
