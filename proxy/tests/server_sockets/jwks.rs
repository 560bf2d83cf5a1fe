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

/// Says hello with a token, once. Returns the client if it is welcome, else the code of the close.
async fn try_connect(server: &TestServer, token: &str) -> Result<TestClient, u16> {
    let mut client = TestClient::connect_silently(server.address, Encoding::Json).await;
    let ClientMessage::Hello(mut hello) = hello() else {
        panic!("no hello");
    };
    hello.token = Some(token.into());
    client.send(&[ClientMessage::Hello(hello)]).await;
    match client.receive().await {
        Ok(ServerMessage::Welcome(_)) => Ok(client),
        Ok(other) => panic!("not a welcome: {other:?}"),
        Err(closed) => Err(closed.code),
    }
}

async fn connect(server: &TestServer, key: &SigningKey) -> TestClient {
    let connected = try_connect(server, &key.token()).await;
    connected.unwrap_or_else(|code| panic!("refused with {code}"))
}

async fn refusal(server: &TestServer, key: &SigningKey) -> u16 {
    match try_connect(server, &key.token()).await {
        Ok(_) => panic!("welcome"),
        Err(code) => code,
    }
}

async fn readiness(server: &TestServer) -> String {
    get(server.address, "/readyz").await
}

#[tokio::test]
async fn a_hello_waits_for_the_keys_that_its_token_needs() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let issuer = Issuer::start(keys(&[&old])).await;
    let config = Config::default().access(policy(issuer.trusted_source()));
    let server = TestServer::with(config).await;
    // The server has just begun, and has no keys yet.
    let mut of_old = connect(&server, &old).await;
    issuer.answers(Some(keys(&[&old, &new])));
    let mut of_new = connect(&server, &new).await;
    of_old.ping(1).await;
    // The old key is withdrawn: its sockets end.
    issuer.answers(Some(keys(&[&new])));
    let stranger = SigningKey::new("stranger");
    assert_eq!(refusal(&server, &stranger).await, close::UNAUTHENTICATED);
    assert_eq!(of_old.closed().await.code, close::UNAUTHENTICATED);
    of_new.ping(1).await;
    // A renewal waits too, and what comes after it waits for the renewal.
    let renewing = SigningKey::new("renewing");
    issuer.answers(Some(keys(&[&new, &renewing])));
    let messages = [stranger, renewing].map(|key| ClientMessage::Authenticate {
        token: key.token().into(),
    });
    of_new.send(&messages).await;
    of_new.send(&[ClientMessage::Ping { nonce: 2 }]).await;
    for is_refused in [true, false] {
        match of_new.receive().await {
            Ok(ServerMessage::Auth { refused, .. }) => assert_eq!(refused.is_some(), is_refused),
            other => panic!("{other:?}"),
        }
    }
    let pong = of_new.receive().await;
    assert!(
        matches!(pong, Ok(ServerMessage::Pong { nonce: 2 })),
        "{pong:?}"
    );
}

#[tokio::test]
async fn a_server_without_keys_is_not_ready_and_clients_try_again() {
    let key = SigningKey::new("key");
    let issuer = Issuer::start(response("503 Service Unavailable", "")).await;
    let config = Config::default().access(policy(issuer.trusted_source()));
    let server = TestServer::with(config).await;
    assert_eq!(refusal(&server, &key).await, close::TRY_AGAIN_LATER);
    let not_ready = readiness(&server).await;
    assert!(not_ready.starts_with("HTTP/1.1 503 "), "{not_ready}");
    assert!(not_ready.contains("no keys of the issuer"), "{not_ready}");
    issuer.answers(None);
    let (first, second) = tokio::join!(refusal(&server, &key), refusal(&server, &key));
    assert_eq!([first, second], [close::TRY_AGAIN_LATER; 2]);
    issuer.answers(Some(keys(&[&key])));
    connect(&server, &key).await;
    assert!(readiness(&server).await.ends_with("ready"));
}

#[tokio::test]
async fn an_issuer_that_fails_in_any_way_leaves_the_last_good_keys_in_force() {
    let key = SigningKey::new("key");
    let issuer = Issuer::start(keys(&[&key])).await;
    let config = Config::default().access(policy(issuer.trusted_source()));
    let server = TestServer::with(config).await;
    let (admin, listener) = listen().await;
    let admin_server = server.server.clone();
    tokio::spawn(async move { admin_server.serve_admin(listener).await });
    connect(&server, &key).await;
    let stranger = SigningKey::new("stranger");
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
        // Nobody knows whether its key is one of the issuer's.
        assert_eq!(refusal(&server, &stranger).await, close::TRY_AGAIN_LATER);
        let ready = get(admin, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
        assert!(ready.contains(why), "{why}: {ready}");
        let metrics = get(admin, "/metrics").await;
        assert!(
            metrics.contains("reload_failed{source=\"jwks\"} 1"),
            "{metrics}"
        );
        connect(&server, &key).await;
    }
    issuer.answers(Some(keys(&[&key])));
    assert_eq!(refusal(&server, &stranger).await, close::UNAUTHENTICATED);
    assert!(!get(admin, "/readyz").await.contains("jwks"));
}

#[tokio::test]
async fn an_issuer_that_nobody_vouches_for_is_not_believed() {
    let key = SigningKey::new("key");
    let issuer = Issuer::start(keys(&[&key])).await;
    let config = Config::default().access(policy(issuer.source()));
    let server = TestServer::with(config).await;
    assert_eq!(refusal(&server, &key).await, close::TRY_AGAIN_LATER);
    let replace = |source| server.server.set_access(policy(source)).unwrap();
    replace(issuer.trusted_source());
    let mut open = connect(&server, &key).await;
    // The authority is trusted no more, and neither is what it vouched for.
    replace(issuer.source());
    assert_eq!(open.closed().await.code, close::TRY_AGAIN_LATER);
    assert_eq!(refusal(&server, &key).await, close::TRY_AGAIN_LATER);
    assert!(readiness(&server).await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn another_source_replaces_the_keys_once_it_has_some() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let issuer = Issuer::start(keys(&[&old])).await;
    let config = Config::default().access(policy(issuer.trusted_source()));
    let server = TestServer::with(config).await;
    let replace = |source| server.server.set_access(policy(source)).unwrap();
    let mut open = connect(&server, &old).await;
    // Another file of authorities, by which the issuer is still trusted.
    let mut other = Issuer::start(response("503 Service Unavailable", "")).await;
    let both = issuer.authority.certificate() + &other.authority.certificate();
    replace(issuer.source().extra_ca(both.as_bytes()).unwrap());
    connect(&server, &old).await;
    open.ping(1).await;
    // Another issuer, which has no keys for a while.
    replace(other.trusted_source());
    other.next_request().await;
    assert_eq!(refusal(&server, &new).await, close::TRY_AGAIN_LATER);
    connect(&server, &old).await;
    open.ping(2).await;
    assert!(readiness(&server).await.ends_with("ready"));
    other.answers(Some(keys(&[&new])));
    connect(&server, &new).await;
    assert_eq!(open.closed().await.code, close::UNAUTHENTICATED);
    assert_eq!(refusal(&server, &old).await, close::UNAUTHENTICATED);
}
