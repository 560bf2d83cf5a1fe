//! Keys that an issuer publishes over https: rotation, and an issuer that fails in every way.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use streamgate::{AuthPolicy, Config, JwksSource, Permission, RightRule, Role};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, ServerMessage, close};
use streamgate_test_support::{Authority, TlsIdentity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::client::{TIMEOUT, TestClient, hello};
use crate::http::get;
use crate::test_server::{TestServer, listen};

/// A key of the issuer.
struct SigningKey(&'static str, Ed25519KeyPair);

impl SigningKey {
    fn new(id: &'static str) -> Self {
        let random = ring::rand::SystemRandom::new();
        let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self(id, Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn token(&self) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let expires_at = now.unwrap().as_secs() + 600;
        let encode = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = encode(json!({ "alg": "EdDSA", "kid": self.0 }));
        let claims =
            json!({ "sub": "ann", "aud": "streamgate", "exp": expires_at, "roles": ["r"] });
        let signed = format!("{header}.{}", encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.1.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// Returns the response that publishes these keys.
fn keys(keys: &[&SigningKey]) -> String {
    let jwk = |SigningKey(id, key): &&SigningKey| {
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": x })
    };
    let keys: Vec<_> = keys.iter().map(jwk).collect();
    response("200 OK", &json!({ "keys": keys }).to_string())
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// An issuer. It answers every request in the same way until a test says another.
struct Issuer {
    authority: Authority,
    url: String,
    /// Nothing: it does not answer.
    answer: Arc<Mutex<Option<String>>>,
    /// How many requests have come.
    requests: watch::Receiver<u32>,
}

impl Issuer {
    async fn start(first: String) -> Self {
        let authority = Authority::new().unwrap();
        let TlsIdentity { certificate, key } = authority.issue(&["localhost"]).unwrap();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let settings = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(settings));
        let (address, listener) = listen().await;
        let answer = Arc::new(Mutex::new(Some(first)));
        let (count, requests) = watch::channel(0);
        let current = Arc::clone(&answer);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust the issuer leaves.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    count.send_modify(|count| *count += 1);
                    continue;
                };
                let mut request = vec![0; 4096];
                let bytes = stream.read(&mut request).await.unwrap();
                assert!(
                    request[..bytes].starts_with(b"GET /keys?v=1 HTTP/1.1\r\nhost: localhost:")
                );
                let answer = current.lock().unwrap().clone();
                match answer {
                    // The client may end the connection first.
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => drop(stream.read(&mut request).await),
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Self {
            authority,
            url: format!("https://localhost:{}/keys?v=1", address.port()),
            answer,
            requests,
        }
    }

    fn answers(&self, answer: Option<String>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn source(&self) -> JwksSource {
        let source = JwksSource::new(&self.url).unwrap();
        source
            .min_interval(Duration::from_millis(50))
            .timeout(Duration::from_millis(2_000))
    }

    fn trusted_source(&self) -> JwksSource {
        let ca = self.authority.certificate();
        self.source().extra_ca(ca.as_bytes()).unwrap()
    }

    /// Returns once a request has come after this call.
    async fn next_request(&mut self) {
        self.requests.borrow_and_update();
        let changed = tokio::time::timeout(TIMEOUT, self.requests.changed()).await;
        changed.expect("no request").unwrap();
    }
}

fn policy(source: JwksSource) -> AuthPolicy {
    let rule = RightRule::new([Permission::Add], ["s"]);
    let role = Role::new([rule]).unwrap();
    AuthPolicy::new().jwks(source, "streamgate").role("r", role)
}

/// Says hello with a token. Returns the client if it is welcome.
async fn try_connect(server: &TestServer, token: &str) -> Option<TestClient> {
    let mut client = TestClient::connect_silently(server.address, Encoding::Json).await;
    let ClientMessage::Hello(mut hello) = hello() else {
        panic!("no hello");
    };
    hello.token = Some(token.into());
    client.send(&[ClientMessage::Hello(hello)]).await;
    match client.receive().await {
        Ok(ServerMessage::Welcome(_)) => Some(client),
        Ok(other) => panic!("not a welcome: {other:?}"),
        Err(closed) => {
            assert_eq!(closed.code, close::UNAUTHENTICATED, "{closed:?}");
            None
        }
    }
}

/// Connects, again and again until the server knows the key.
async fn connect(server: &TestServer, key: &SigningKey) -> TestClient {
    let connecting = async {
        loop {
            if let Some(client) = try_connect(server, &key.token()).await {
                return client;
            }
        }
    };
    let connected = tokio::time::timeout(TIMEOUT, connecting).await;
    connected.expect("the server does not know the key")
}

#[tokio::test]
async fn a_rotated_key_is_fetched_when_a_token_names_it() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let issuer = Issuer::start(keys(&[&old])).await;
    let config = Config::default().access(policy(issuer.trusted_source()));
    let server = TestServer::with(config).await;
    let mut of_old = connect(&server, &old).await;
    issuer.answers(Some(keys(&[&old, &new])));
    connect(&server, &new).await;
    of_old.ping(1).await;
    // The old key is withdrawn: its sockets end.
    issuer.answers(Some(keys(&[&new])));
    let stranger = SigningKey::new("stranger");
    assert!(try_connect(&server, &stranger.token()).await.is_none());
    assert_eq!(of_old.closed().await.code, close::UNAUTHENTICATED);
    connect(&server, &new).await;
}

#[tokio::test]
async fn an_issuer_that_fails_in_any_way_leaves_the_last_good_keys_in_force() {
    let key = SigningKey::new("key");
    let mut issuer = Issuer::start(keys(&[&key])).await;
    let config = Config::default().access(policy(issuer.trusted_source()));
    let server = TestServer::with(config).await;
    let (admin, listener) = listen().await;
    let admin_server = server.server.clone();
    tokio::spawn(async move { admin_server.serve_admin(listener).await });
    connect(&server, &key).await;
    let stranger = SigningKey::new("stranger").token();
    let large = format!("{{\"keys\":[]}}{}", " ".repeat(300 * 1024));
    let redirect = "HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\n\
                    content-length: 0\r\nconnection: close\r\n\r\n";
    for (answer, why) in [
        (
            Some(response("500 Internal Server Error", "")),
            "status 500",
        ),
        (Some(redirect.to_owned()), "redirects are refused"),
        (Some(response("200 OK", "<html>")), "no JSON Web Key Set"),
        (Some(response("200 OK", "{\"keys\":[]}")), "it has no key"),
        (Some(response("200 OK", &large)), "more than 262144 bytes"),
        (Some(String::new()), "cannot get an answer"),
        (
            Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned()),
            "cut off",
        ),
        (None, "no whole answer within 2000 ms"),
    ] {
        issuer.answers(answer);
        let reported = async {
            loop {
                assert!(try_connect(&server, &stranger).await.is_none());
                let ready = get(admin, "/readyz").await;
                assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
                if ready.contains(why) {
                    break;
                }
            }
        };
        let reported = tokio::time::timeout(TIMEOUT, reported).await;
        reported.unwrap_or_else(|_| panic!("{why} is not reported"));
        let metrics = get(admin, "/metrics").await;
        assert!(
            metrics.contains("reload_failed{source=\"jwks\"} 1"),
            "{metrics}"
        );
        assert!(try_connect(&server, &key.token()).await.is_some());
        issuer.answers(Some(keys(&[&key])));
    }
    let mut open = connect(&server, &key).await;
    open.ping(1).await;
    assert!(try_connect(&server, &stranger).await.is_none());
    issuer.next_request().await;
}

#[tokio::test]
async fn an_issuer_that_nobody_vouches_for_is_not_believed() {
    let key = SigningKey::new("key");
    let mut issuer = Issuer::start(keys(&[&key])).await;
    let config = Config::default().access(policy(issuer.source()));
    let server = TestServer::with(config).await;
    assert!(try_connect(&server, &key.token()).await.is_none());
    issuer.next_request().await;
    assert!(try_connect(&server, &key.token()).await.is_none());
    // Another policy names the authority. Keys of another source would not be taken over.
    server
        .server
        .set_access(policy(issuer.trusted_source()))
        .unwrap();
    connect(&server, &key).await;
    server.server.set_access(policy(issuer.source())).unwrap();
    assert!(try_connect(&server, &key.token()).await.is_none());
}
