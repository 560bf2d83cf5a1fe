//! A fetch of the issuer's keys that ends while a token is verified.
//!
//! The tests take the steps of the session one by one, and let the fetch end between two of them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::json;

use super::*;
use crate::access::KEY_WAIT;
use crate::auth::{AuthPolicy, JwksSource, KeySet, TokenError, VerificationKey};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn source() -> JwksSource {
    JwksSource::new("https://issuer.example.com/keys").unwrap()
}

/// Returns a token that names a key.
fn token(key: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let end = now.unwrap().as_secs() + 600;
    let encode = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = encode(json!({ "alg": "HS256", "kid": key }));
    let claims = encode(json!({ "sub": "ann", "aud": "streamgate", "exp": end }));
    let message = format!("{header}.{claims}");
    let signature = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, SECRET),
        message.as_bytes(),
    );
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A server that fetches nothing by itself, and knows the key `old`.
fn server_with_issuer() -> Server {
    let policy = AuthPolicy::new().jwks(source(), "streamgate");
    let server = server(Config::default().access(policy));
    put_into_force(&server, &["old"]);
    server
}

fn put_into_force(server: &Server, keys: &[&str]) {
    let keys = keys.iter().map(|id| {
        let id = Some((*id).to_owned());
        VerificationKey::from_secret(id, SECRET).unwrap()
    });
    let authenticator = server.state.access.authenticator().unwrap();
    authenticator.set_fetched_keys(KeySet::new(keys).unwrap(), source());
}

/// Makes a fetch end that has begun; it brings these keys.
fn end_fetch(server: &Server, keys: &[&str]) {
    put_into_force(server, keys);
    server.state.access.key_fetches().end(false);
}

/// A session that has yet to take the token of its handshake.
async fn session<'b>(server: &'b Server, token: &str) -> Session<'b, DuplexStream> {
    let (_, far) = duplex(1);
    let socket = ServerSocket::new(far, ENCODING, MAX_FRAME_BYTES).await;
    let opening = Opening {
        bearer: Some(token.into()),
        place: None,
    };
    Session::new(&server.state, socket, None, opening)
}

/// Takes the first steps: the token waits for keys. Returns once a fetch before the awaited one has
/// ended in vain, which makes the session try again.
async fn tries_again(server: &Server, session: &mut Session<'_, DuplexStream>) {
    let fetches = server.state.access.key_fetches();
    fetches.begin();
    assert!(!session.authenticate().unwrap(), "it waits");
    assert!(!is_woken(session));
    end_fetch(server, &["old"]);
    assert!(is_woken(session));
}

fn is_woken(session: &mut Session<'_, DuplexStream>) -> bool {
    let event = session.control.next(false).now_or_never();
    matches!(event, Some(ControlEvent::KeysFetched))
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_refused_because_its_key_arrives_while_it_is_verified() {
    let server = server_with_issuer();
    let mut session = session(&server, &token("new")).await;
    tries_again(&server, &mut session).await;
    server.state.access.key_fetches().begin();

    let before = session.fetches_before();
    let error = session.access.authenticate().unwrap_err();
    assert_eq!(error, TokenError::UnknownKey);
    end_fetch(&server, &["old", "new"]);
    session.await_keys(error, before, KEY_WAIT).unwrap();

    assert!(is_woken(&mut session), "at once");
    assert!(session.authenticate().unwrap(), "it is accepted");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_fetch_that_ends_while_a_token_is_verified_wakes_it() {
    let server = server_with_issuer();
    let mut session = session(&server, &token("new")).await;
    let fetches = server.state.access.key_fetches();
    fetches.begin();

    let before = session.fetches_before();
    let error = session.access.authenticate().unwrap_err();
    end_fetch(&server, &["old", "new"]);
    session.await_keys(error, before, KEY_WAIT).unwrap();

    assert!(is_woken(&mut session), "at once");
    assert!(session.authenticate().unwrap(), "it is accepted");
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_key_no_fetch_brings_is_refused() {
    let server = server_with_issuer();
    let mut session = session(&server, &token("stranger")).await;
    tries_again(&server, &mut session).await;
    assert!(!session.authenticate().unwrap(), "it waits for the next");
    server.state.access.key_fetches().begin();
    end_fetch(&server, &["old", "new"]);
    assert!(is_woken(&mut session));
    let CloseReason::ByServer { code, .. } = session.authenticate().unwrap_err() else {
        panic!("the client closes nothing");
    };
    assert_eq!(code, close::UNAUTHENTICATED);
}
