//! Tokens for tests, and clients that present them.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use streamgate::{AuthPolicy, KeySet, VerificationKey};
use streamgate_protocol::ClientMessage;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::Hello;

use crate::client::TestClient;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// Returns a policy that accepts the tokens of this module, and has no roles.
pub(crate) fn policy() -> AuthPolicy {
    let key = VerificationKey::from_secret(Some("k".to_owned()), SECRET).unwrap();
    AuthPolicy::new()
        .keys(KeySet::new([key]).unwrap(), "streamgate")
        .leeway(Duration::ZERO)
}

fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

/// Returns a token of a subject with a role, valid for so many seconds.
pub(crate) fn token_for(subject: &str, role: &str, life: i64) -> String {
    token_with(subject, role, life, json!({}))
}

/// Returns a token with further claims.
pub(crate) fn token_with(subject: &str, role: &str, life: i64, more: Value) -> String {
    let mut claims = json!({
        "sub": subject,
        "aud": "streamgate",
        "exp": seconds_from_now(life),
        "iat": seconds_from_now(-10),
        "roles": [role],
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = json!({"alg": "HS256", "kid": "k"});
    let message = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

pub(crate) fn hello_with<'a>(client: &'a str, token: Option<&'a str>) -> ClientMessage<'a> {
    let mut hello = Hello::new(client, u32::MAX);
    hello.token = token.map(Into::into);
    ClientMessage::Hello(hello)
}

pub(crate) fn authenticate(token: &str) -> ClientMessage<'_> {
    let token = token.into();
    ClientMessage::Authenticate { token }
}

/// Connects, says hello with a token and requests what follows, in one frame.
pub(crate) async fn connect(
    address: SocketAddr,
    encoding: Encoding,
    token: Option<&str>,
    then: &[ClientMessage<'_>],
) -> TestClient {
    let mut client = TestClient::connect_silently(address, encoding).await;
    let mut frame = client.frame(&[hello_with("c", token)]);
    let rest = client.frame(then);
    if encoding.is_text() && !then.is_empty() {
        frame.push(b'\n');
    }
    frame.extend(rest);
    client.send_bytes(frame).await;
    client
}
