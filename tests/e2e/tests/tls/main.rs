//! The native client over TLS: whom it trusts, what it says if it does not, and its own certificate.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use streamgate::{Config, Server};
use streamgate_client::{
    Builder, CacheError, Client, ConnectionState, StreamingBackend, SubscribingBackend, TailFrom,
    TailItem,
};
use streamgate_memory::MemoryStreams;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Catches hangs.
const HANG_LIMIT: Duration = Duration::from_secs(300);

type Ca = CertifiedIssuer<'static, KeyPair>;

fn new_ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Returns a certificate and its key, in PEM.
fn issue(ca: &Ca, mut params: CertificateParams) -> String {
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    format!("{}{}", certificate.pem(), key.serialize_pem())
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

fn parsed(identity: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let pem = identity.as_bytes();
    let chain = CertificateDer::pem_slice_iter(pem)
        .map(Result::unwrap)
        .collect();
    (chain, PrivateKeyDer::from_pem_slice(pem).unwrap())
}

/// Serves memory behind TLS, for clients with a certificate of `client_ca` if there is one.
async fn serve(identity: &str, client_ca: Option<&Ca>) -> SocketAddr {
    let server = Server::new(Arc::new(MemoryStreams::new()), Config::default()).unwrap();
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = inner.local_addr().unwrap();
    tokio::spawn(server.serve(inner, std::future::pending()));

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client_ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let (chain, key) = parsed(identity);
    let config = builder.with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust this server ends the handshake.
                if let Ok(mut outer) = acceptor.accept(stream).await {
                    let mut inner = TcpStream::connect(plain).await.unwrap();
                    let _ = copy_bidirectional(&mut outer, &mut inner).await;
                }
            });
        }
    });
    address
}

fn builder(address: SocketAddr, ca: &Ca) -> Builder {
    Client::builder(&format!("wss://localhost:{}/v1/ws", address.port()))
        .root_certificates(ca.pem())
}

async fn refusal(builder: Builder) -> CacheError {
    let connecting = tokio::time::timeout(HANG_LIMIT, builder.connect()).await;
    connecting.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_adds_and_tails_with_a_token() {
    let ca = new_ca();
    let address = serve(&issue(&ca, named("localhost")), None).await;
    let client = builder(address, &ca).token("t").connect().await.unwrap();
    let mut tail = client.tail("s", TailFrom::Beginning);
    let value = "x".repeat(1_000_000);
    let fields = vec![("f".to_owned(), value.clone())];
    client.stream_add("s", fields, None).await.unwrap();
    let Some(Ok(TailItem::Entries { entries, .. })) = tail.next().await else {
        panic!("no entry");
    };
    assert_eq!(entries[0].get("f").as_deref(), Some(value.as_str()));
}

#[tokio::test]
async fn a_server_of_an_unknown_ca_is_refused() {
    let (ca, other) = (new_ca(), new_ca());
    let address = serve(&issue(&other, named("localhost")), None).await;
    let error = refusal(builder(address, &ca)).await;
    assert_eq!(error.code(), "DISCONNECTED");
    assert!(error.message().contains("root_certificates"), "{error}");
    // The system does not know it either.
    let url = format!("wss://localhost:{}/v1/ws", address.port());
    let error = refusal(Client::builder(&url)).await;
    assert!(error.to_string().contains("root_certificates"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let ca = new_ca();
    let address = serve(&issue(&ca, named("example.com")), None).await;
    let error = refusal(builder(address, &ca)).await;
    assert!(error.message().contains("for another name"), "{error}");
    assert!(error.message().contains("example.com"), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = new_ca();
    let mut params = named("localhost");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let address = serve(&issue(&ca, params), None).await;
    let error = refusal(builder(address, &ca)).await;
    assert!(error.message().contains("has expired"), "{error}");
}

#[tokio::test]
async fn a_server_may_require_a_certificate_of_the_client() {
    let ca = new_ca();
    let address = serve(&issue(&ca, named("localhost")), Some(&ca)).await;
    let identity = issue(&ca, named("ann"));
    let client = builder(address, &ca)
        .identity(&identity)
        .connect()
        .await
        .unwrap();
    assert_eq!(client.state(), ConnectionState::Open);
    let error = refusal(builder(address, &ca)).await;
    assert!(error.message().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn what_is_no_certificate_is_an_error_of_the_settings() {
    let url = "wss://localhost:1/v1/ws";
    let error = refusal(Client::builder(url).root_certificates("no certificate")).await;
    assert_eq!(error.code(), "CONFIG");
    let ca = new_ca();
    let without_key = Client::builder(url)
        .root_certificates(ca.pem())
        .identity(ca.pem());
    let error = refusal(without_key).await;
    assert_eq!(error.code(), "CONFIG");
    assert!(error.message().contains("no private key"), "{error}");
}
