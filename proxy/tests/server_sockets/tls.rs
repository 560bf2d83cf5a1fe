//! TLS of the listener: versions, certificates, floods, and a certificate that is replaced.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, RootCertStore, SupportedProtocolVersion};
use streamgate::{Config, TlsConfig};
use streamgate_backend::MemoryBudget;
use streamgate_backend::memory_budget::MemoryKind;
use streamgate_protocol::close;
use streamgate_protocol::codec::Encoding;
use streamgate_test_support::{Authority, TlsIdentity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::accept::read_to_end;
use crate::client::{TIMEOUT, TestClient, hello};
use crate::http::exchange;
use crate::test_server::TestServer;
use crate::trusted_proxies::{behind_a_proxy, proxy_header};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Bytes with which a ClientHello of 512 bytes begins.
const BEGIN_OF_HELLO: [u8; 6] = [22, 3, 1, 2, 0, 1];

type TlsClient = TestClient<TlsStream<TcpStream>>;

fn settings_of(authority: &Authority, client_ca: Option<&str>) -> TlsConfig {
    let TlsIdentity { certificate, key } = authority.issue(&["localhost"]).unwrap();
    let client_ca = client_ca.map(str::as_bytes);
    TlsConfig::from_pem(certificate.as_bytes(), key.as_bytes(), client_ca).unwrap()
}

/// Starts a server with a certificate of this authority.
async fn serve(authority: &Authority, config: Config) -> TestServer {
    TestServer::with(config.tls(settings_of(authority, None))).await
}

/// Returns the settings of a client that trusts this authority alone.
fn client_settings(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    identity: Option<&TlsIdentity>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        Some(TlsIdentity { certificate, key }) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
        None => builder.with_no_client_auth(),
    }
}

async fn handshake(
    stream: TcpStream,
    settings: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(settings))
        .connect(name, stream)
        .await
}

async fn connect(
    address: SocketAddr,
    settings: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(TcpStream::connect(address).await.unwrap(), settings).await
}

/// Connects a client over TLS 1.3, and receives its welcome.
async fn client(address: SocketAddr, authority: &Authority, encoding: Encoding) -> TlsClient {
    let stream = connect(address, client_settings(authority, &TLS13, None)).await;
    let mut client = TestClient::on(stream.unwrap(), encoding).await.unwrap();
    client.send(&[hello()]).await;
    client.welcome().await;
    client
}

/// Returns the alert that the server ended a connection with, in the handshake or right after it.
async fn alert_of(connected: std::io::Result<TlsStream<TcpStream>>) -> Option<AlertDescription> {
    let error = match connected {
        Ok(mut stream) => {
            let end = tokio::time::timeout(TIMEOUT, stream.read_u8()).await;
            end.expect("the connection is still open").unwrap_err()
        }
        Err(error) => error,
    };
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[tokio::test]
async fn clients_speak_tls_1_2_and_1_3_and_nothing_but_http_1_1_in_it() {
    let authority = Authority::new().unwrap();
    let server = serve(&authority, Config::default()).await;
    for version in VERSIONS {
        for &encoding in Encoding::ALL {
            for offer in [vec![], vec![b"h2".to_vec(), b"http/1.1".to_vec()]] {
                let mut settings = client_settings(&authority, version, None);
                let chosen = offer.last().cloned();
                settings.alpn_protocols = offer;
                let stream = connect(server.address, settings).await.unwrap();
                let connection = stream.get_ref().1;
                assert_eq!(connection.protocol_version(), Some(version.version));
                assert_eq!(connection.alpn_protocol(), chosen.as_deref());
                let mut client = TestClient::on(stream, encoding).await.unwrap();
                client.send(&[hello()]).await;
                client.welcome().await;
                client.ping(1).await;
                client.close().await;
            }
        }
        let mut settings = client_settings(&authority, version, None);
        settings.alpn_protocols = vec![b"h2".to_vec()];
        let refused = alert_of(connect(server.address, settings).await).await;
        assert_eq!(refused, Some(AlertDescription::NoApplicationProtocol));
    }
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_answered_in_plain_text() {
    let authority = Authority::new().unwrap();
    let server = serve(&authority, Config::default()).await;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "x".repeat(10_000)
    );
    let response = exchange(server.address, &request).await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(response.contains("https:// or wss://"), "{response}");
    // What is neither ends with an alert.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"\x16\x03\x01\xff\xff").await.unwrap();
    assert_eq!(read_to_end(&mut stream).await.first(), Some(&21));
}

#[tokio::test]
async fn a_client_without_the_right_certificate_is_refused_with_an_alert() {
    let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let clients = Authority::new().unwrap();
    let settings = settings_of(&authority, Some(&clients.certificate()));
    let server = TestServer::with(Config::default().tls(settings)).await;
    let of = |issuer: &Authority| issuer.issue(&["ann"]).unwrap();
    for version in VERSIONS {
        let connect = async |identity: Option<&TlsIdentity>| {
            connect(
                server.address,
                client_settings(&authority, version, identity),
            )
            .await
        };
        let alert = alert_of(connect(None).await).await;
        assert_eq!(alert, Some(AlertDescription::CertificateRequired));
        let alert = alert_of(connect(Some(&of(&stranger))).await).await;
        assert!(alert.is_some(), "{version:?}");
        let expired = clients.issue_for_years(&["ann"], 2001..2002).unwrap();
        let alert = alert_of(connect(Some(&expired)).await).await;
        assert_eq!(alert, Some(AlertDescription::CertificateExpired));

        let stream = connect(Some(&of(&clients))).await.unwrap();
        let mut client = TestClient::on(stream, Encoding::Binary).await.unwrap();
        client.send(&[hello()]).await;
        client.welcome().await;
    }
}

#[tokio::test]
async fn a_handshake_that_is_slow_at_any_step_is_closed_in_time() {
    let authority = Authority::new().unwrap();
    let config = Config::default().handshake_timeout(Duration::from_millis(200));
    let server = serve(&authority, config).await;
    for first in [&b""[..], &BEGIN_OF_HELLO] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(first).await.unwrap();
        assert!(read_to_end(&mut stream).await.is_empty());
    }
    // A whole hello, and nothing after it: the server has sent its part.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let settings = client_settings(&authority, &TLS13, None);
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(settings), name).unwrap();
    let mut client_hello = Vec::new();
    connection.write_tls(&mut client_hello).unwrap();
    stream.write_all(&client_hello).await.unwrap();
    assert!(!read_to_end(&mut stream).await.is_empty());
    // TLS is there, and no request comes: the time since the connection began counts.
    let settings = client_settings(&authority, &TLS13, None);
    let mut stream = connect(server.address, settings).await.unwrap();
    let mut received = Vec::new();
    let end = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut received)).await;
    assert!(end.expect("the connection is still open").is_err() || received.is_empty());
}

#[tokio::test]
async fn a_flood_of_half_open_handshakes_keeps_nobody_out() {
    let authority = Authority::new().unwrap();
    let server = serve(&authority, Config::default().max_handshakes(8)).await;
    let mut open = client(server.address, &authority, Encoding::Binary).await;
    let mut connections = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&BEGIN_OF_HELLO).await.unwrap();
        connections.push(stream);
    }
    for &encoding in Encoding::ALL {
        client(server.address, &authority, encoding)
            .await
            .ping(1)
            .await;
    }
    open.ping(1).await;
    // The oldest made room.
    for connection in &mut connections[..92] {
        assert!(read_to_end(connection).await.is_empty());
    }
}

#[tokio::test]
async fn a_handshake_has_a_bounded_number_of_bytes() {
    let authority = Authority::new().unwrap();
    let server = serve(&authority, Config::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // A ClientHello of 65,535 bytes in records of 16,384.
    let mut record = vec![22, 3, 1, 0x40, 0];
    record.extend([1, 0, 0xff, 0xff]);
    record.resize(5 + 0x4000, 0);
    for _ in 0..3 {
        // The server may have closed already.
        let _ = stream.write_all(&record).await;
        record[5..9].fill(0);
    }
    read_to_end(&mut stream).await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_handshakes_and_drops_no_socket() {
    let (old, new) = (Authority::new().unwrap(), Authority::new().unwrap());
    let server = serve(&old, Config::default()).await;
    let mut open = client(server.address, &old, Encoding::Json).await;
    let mut half_open = TcpStream::connect(server.address).await.unwrap();
    half_open.write_all(&BEGIN_OF_HELLO).await.unwrap();
    server.server.set_tls(settings_of(&new, None)).unwrap();
    let refused = connect(server.address, client_settings(&old, &TLS13, None)).await;
    assert!(refused.is_err());
    client(server.address, &new, Encoding::Json)
        .await
        .ping(1)
        .await;
    open.ping(1).await;

    let plain = TestServer::start().await;
    let error = plain.server.set_tls(settings_of(&new, None)).unwrap_err();
    assert_eq!(error.code(), "CONFIG");
}

#[tokio::test]
async fn an_orderly_close_ends_tls_too() {
    let authority = Authority::new().unwrap();
    let server = serve(&authority, Config::default().drain_period(Duration::ZERO)).await;
    // Without a `close_notify`, reading to the end is an error.
    let ends = async |client: TlsClient| {
        let mut stream = client.socket.into_inner();
        let read = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut Vec::new())).await;
        assert_eq!(read.expect("TLS is still open").unwrap(), 0);
    };
    let mut leaving = client(server.address, &authority, Encoding::Binary).await;
    leaving.socket.close(None).await.unwrap();
    leaving.ended().await;
    ends(leaving).await;

    let mut stream = connect(server.address, client_settings(&authority, &TLS13, None))
        .await
        .unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.ends_with("\r\n\r\nok"), "{response}");

    let mut closed = client(server.address, &authority, Encoding::Binary).await;
    let shut_down = tokio::spawn(server.shut_down());
    assert_eq!(closed.closed().await.code, close::GOING_AWAY);
    closed.ended().await;
    ends(closed).await;
    shut_down.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_proxy_protocol_comes_before_tls() {
    let authority = Authority::new().unwrap();
    let server = serve(&authority, behind_a_proxy().max_sockets_per_address(1)).await;
    let connect = async |address: &str| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&proxy_header(address)).await.unwrap();
        let stream = handshake(stream, client_settings(&authority, &TLS13, None)).await;
        TestClient::on(stream.unwrap(), Encoding::Json).await
    };
    let _open = connect("192.0.2.1").await.unwrap();
    assert!(connect("192.0.2.1").await.is_err());
    let _other = connect("192.0.2.2").await.unwrap();
    // A trusted proxy may also use a header, within TLS.
    client(server.address, &authority, Encoding::Json)
        .await
        .ping(1)
        .await;
}

#[tokio::test]
async fn what_tls_holds_of_a_socket_counts() {
    let authority = Authority::new().unwrap();
    let mut of_one_socket = Vec::new();
    for with_tls in [false, true] {
        let budget = MemoryBudget::new(1 << 30);
        let config = Config::default().memory_budget(budget.clone());
        let before = budget.used_bytes_of(MemoryKind::Sockets);
        if with_tls {
            let server = serve(&authority, config).await;
            let mut client = client(server.address, &authority, Encoding::Binary).await;
            client.ping(1).await;
            of_one_socket.push(budget.used_bytes_of(MemoryKind::Sockets) - before);
        } else {
            let server = TestServer::with(config).await;
            let mut client = server.client(Encoding::Binary).await;
            client.ping(1).await;
            of_one_socket.push(budget.used_bytes_of(MemoryKind::Sockets) - before);
        }
    }
    assert!(
        of_one_socket[1] >= of_one_socket[0] + 8 * 1024,
        "{of_one_socket:?}"
    );
}
