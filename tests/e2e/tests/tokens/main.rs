//! A client lives longer than its tokens: it tails and adds through many of them, and loses nothing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use ring::hmac;
use serde_json::json;
use streamgate::{
    AuthPolicy, Config, KeySet, Permission, RightRule, Role, Server, VerificationKey,
};
use streamgate_client::{
    CacheError, Client, StreamingBackend, SubscribingBackend, TailFrom, TailItem,
};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use tokio::net::TcpListener;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const STREAM: &str = "ann:s";
const FIELD: &str = "number";
const TOKEN_LIFE: Duration = Duration::from_secs(2);
const LIVES: u32 = 10;

/// Catches hangs: far more than ten lives of a token.
const HANG_LIMIT: Duration = Duration::from_secs(300);

async fn serve() -> String {
    let key = VerificationKey::from_secret(Some("k".to_owned()), SECRET).unwrap();
    let own = RightRule::new(Permission::ALL, ["{sub}:*"]);
    let policy = AuthPolicy::new()
        .keys(KeySet::new([key]).unwrap(), "streamgate")
        .leeway(Duration::ZERO)
        .role("user", Role::new([own]).unwrap());
    let config = Config::default().access(policy);
    let server = Server::new(Arc::new(MemoryStreams::new()), config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener, std::future::pending()));
    format!("ws://{address}/v1/ws")
}

fn new_token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({
        "sub": "ann",
        "aud": "streamgate",
        "exp": (now + TOKEN_LIFE).as_secs_f64(),
        "roles": ["user"],
    });
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = json!({"alg": "HS256", "kid": "k"});
    let message = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

/// Adds numbers through many tokens, and compares what a tail receives with what was added.
/// `can_renew` says whether the issuer has a token while the one before it is valid.
async fn tail_and_add(encoding: Encoding, can_renew: bool) {
    let url = serve().await;
    let issued = Arc::new(AtomicU32::new(0));
    let forced = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&issued);
    let client = Client::builder(&url)
        .encoding(encoding)
        .token_source(move |request| {
            // Without renewals, every other forced request comes after a token has ended.
            let is_renewal =
                request.force && forced.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            let answer = if is_renewal && !can_renew {
                Err(CacheError::BackendError("LATER no new token".to_owned()))
            } else {
                counter.fetch_add(1, Ordering::Relaxed);
                Ok(new_token())
            };
            std::future::ready(answer)
        })
        .connect()
        .await
        .unwrap();

    let mut tail = client.tail(STREAM, TailFrom::Beginning);
    let tailing = tokio::spawn(async move {
        let mut received = Vec::new();
        while let Some(item) = tail.next().await {
            let TailItem::Entries { entries, .. } = item.unwrap() else {
                panic!("a gap, or an entry that was skipped");
            };
            for entry in entries {
                let value = entry.fields[0].1.as_text().unwrap().to_owned();
                if value == "end" {
                    return received;
                }
                received.push(value);
            }
        }
        panic!("the tail ended");
    });

    let add = async |value: String| {
        let fields = vec![(FIELD.to_owned(), value)];
        client.stream_add(STREAM, fields, None).await.unwrap();
    };
    let mut added = Vec::new();
    while issued.load(Ordering::Relaxed) <= LIVES {
        let value = added.len().to_string();
        add(value.clone()).await;
        added.push(value);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    add("end".to_owned()).await;
    let received = tailing.await.unwrap();
    assert_eq!(received.len(), added.len(), "{encoding:?}");
    assert!(received == added, "{encoding:?}: in another order");
}

async fn in_both_encodings(can_renew: bool) {
    let [binary, json] =
        [Encoding::Binary, Encoding::Json].map(|encoding| tail_and_add(encoding, can_renew));
    let both = async { tokio::join!(binary, json) };
    tokio::time::timeout(HANG_LIMIT, both).await.unwrap();
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_a_client_renews_its_tokens() {
    in_both_encodings(true).await;
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_tokens_end_and_the_client_reconnects_with_others() {
    in_both_encodings(false).await;
}
