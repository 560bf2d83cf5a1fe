//! Rights that change while a large batch waits for its turn: it begins by the rights of then, or not
//! at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use streamgate::{
    AuthPolicy, Config, Permission, Revocation, RevokedTokens, RightRule, Role, Server,
};
use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::Outcome;
use streamgate_protocol::{
    CacheResult, ClientMessage, Operation, PerformOperation, Reply, ServerMessage, close,
};

use crate::client::{TestClient, add};
use crate::test_server::serve;
use crate::tokens::{self, authenticate, hello_with, token_for};

/// More than large batches may move together.
const ALL_TURNS: usize = 1 << 20;

/// Enough to wait for a turn.
const LARGE: usize = 100 << 10;

/// A backend that answers at once, and holds the turns of large batches until a test lets them go.
#[derive(Default)]
struct HoldingBackend(Mutex<Held>);

#[derive(Default)]
struct Held {
    turns: Vec<PerformOptions>,
    is_released: bool,
    /// The streams of all adds, and the `maxlen` of each.
    adds: Vec<(String, Option<u64>)>,
}

impl HoldingBackend {
    fn release(&self) {
        let mut held = self.0.lock().unwrap();
        held.is_released = true;
        held.turns.clear();
    }

    fn adds(&self) -> Vec<(String, Option<u64>)> {
        self.0.lock().unwrap().adds.clone()
    }
}

impl PerformOperation for HoldingBackend {
    async fn perform_operation<'a>(&'a self, _: Operation<'a>) -> CacheResult<Reply> {
        Ok(Reply::Done {})
    }
}

impl Backend for HoldingBackend {
    fn perform<'a>(
        &'a self,
        operations: Vec<Operation<'_>>,
        options: PerformOptions,
    ) -> BoxFuture<'a, Vec<Progress<'a>>> {
        let mut held = self.0.lock().unwrap();
        if !held.is_released {
            held.turns.push(options);
        }
        for operation in &operations {
            if let Operation::Add { stream, maxlen, .. } = operation {
                held.adds.push((stream.to_text().into_owned(), *maxlen));
            }
        }
        let done = operations.iter().map(|_| {
            let id = "1-0".to_owned();
            Progress::Done(Ok(Reply::Added { id }))
        });
        Box::pin(std::future::ready(done.collect()))
    }
}

/// A policy whose role `user` may add to a stream, and whose role `holder` may hold the turns.
fn policy(stream: &str, maxlen: Option<u64>) -> AuthPolicy {
    let mut right = RightRule::new([Permission::Add], [stream]);
    right.maxlen = maxlen;
    let held = RightRule::new([Permission::Add], ["held"]);
    let role = |right| Role::new([right]).unwrap();
    tokens::policy()
        .role("user", role(right))
        .role("holder", role(held))
        .role("nobody", Role::new([]).unwrap())
}

/// A server on which a large batch waits for its turn.
struct Waiting {
    backend: Arc<HoldingBackend>,
    server: Server,
    address: SocketAddr,
    /// Holds all turns.
    holder: TestClient,
    /// Whose batch waits.
    client: TestClient,
}

impl Waiting {
    /// Begins a large add to `s`, which the rights permit. The client sends more in the same frame.
    async fn with(encoding: Encoding, then: &[ClientMessage<'_>]) -> Self {
        let backend = Arc::new(HoldingBackend::default());
        let config = Config::default().access(policy("s", None));
        let (address, server) = serve(backend.clone(), config).await;
        let mut waiting = Self {
            holder: connect(address, encoding, "holder").await,
            client: connect(address, encoding, "user").await,
            backend,
            server,
            address,
        };
        let (all, large) = ("x".repeat(ALL_TURNS), "x".repeat(LARGE));
        waiting.holder.send(&[add(1, "held", &all)]).await;
        waiting.holder.reply_to(1).await.unwrap();
        let mut messages = vec![ClientMessage::Ping { nonce: 1 }, add(1, "s", &large)];
        messages.extend_from_slice(then);
        waiting.client.send(&messages).await;
        // The session has checked what came with the ping.
        assert_eq!(waiting.next().await, ServerMessage::Pong { nonce: 1 });
        assert_eq!(waiting.adds_to_s(), []);
        waiting
    }

    async fn next(&mut self) -> ServerMessage {
        self.client.receive().await.unwrap()
    }

    /// Returns the code of the error that is the reply to the request 1; `None` if it was performed.
    async fn reply(&mut self) -> Option<String> {
        match self.next().await {
            ServerMessage::Reply { id: 1, outcome } => match outcome {
                Outcome::Ok(_) => None,
                Outcome::Error(fault) => Some(fault.code),
            },
            other => panic!("not a reply: {other:?}"),
        }
    }

    /// Lets the turns go. Returns when all that waited for one before this has had it.
    async fn release(&mut self) {
        self.backend.release();
        let large = "x".repeat(LARGE);
        self.holder.send(&[add(2, "held", &large)]).await;
        self.holder.reply_to(2).await.unwrap();
    }

    /// Returns the `maxlen` of each add to `s`.
    fn adds_to_s(&self) -> Vec<Option<u64>> {
        let adds = self.backend.adds().into_iter();
        adds.filter_map(|(stream, maxlen)| (stream == "s").then_some(maxlen))
            .collect()
    }
}

async fn connect(address: SocketAddr, encoding: Encoding, role: &str) -> TestClient {
    let mut client = TestClient::connect_silently(address, encoding).await;
    let token = token_for(role, role, 3_600);
    client.send(&[hello_with("c", Some(&token))]).await;
    client.welcome().await;
    client
}

#[tokio::test]
async fn a_batch_begins_no_more_once_its_rights_are_gone() {
    for &encoding in Encoding::ALL {
        let mut waiting = Waiting::with(encoding, &[]).await;
        waiting.server.set_access(policy("other", None)).unwrap();
        assert_eq!(waiting.reply().await.as_deref(), Some("OVERLOADED"));
        waiting.client.send(&[add(1, "s", "v")]).await;
        assert_eq!(waiting.reply().await.as_deref(), Some("NOPERM"));
        waiting.release().await;
        assert_eq!(waiting.adds_to_s(), []);
    }
}

#[tokio::test]
async fn a_batch_begins_no_more_by_the_terms_of_before() {
    for &encoding in Encoding::ALL {
        let mut waiting = Waiting::with(encoding, &[]).await;
        waiting.server.set_access(policy("s", Some(5))).unwrap();
        assert_eq!(waiting.reply().await.as_deref(), Some("OVERLOADED"));
        waiting.client.send(&[add(1, "s", "v")]).await;
        assert_eq!(waiting.reply().await, None);
        waiting.release().await;
        assert_eq!(waiting.adds_to_s(), [Some(5)]);
    }
}

#[tokio::test]
async fn a_batch_begins_no_more_once_its_token_is_revoked() {
    for &encoding in Encoding::ALL {
        let mut waiting = Waiting::with(encoding, &[]).await;
        waiting.server.set_revoked_tokens(revoked("user"));
        let closed = waiting.client.closed().await;
        assert_eq!(closed.code, close::UNAUTHENTICATED);
        waiting.release().await;
        assert_eq!(waiting.adds_to_s(), []);
    }
}

#[tokio::test]
async fn a_batch_whose_rights_stay_is_performed_whatever_else_changes() {
    for &encoding in Encoding::ALL {
        let mut waiting = Waiting::with(encoding, &[]).await;
        waiting.server.set_revoked_tokens(revoked("somebody else"));
        waiting.server.set_access(policy("s", None)).unwrap();
        // What woke the session before this has been looked at.
        connect(waiting.address, encoding, "nobody").await;
        waiting.release().await;
        assert_eq!(waiting.reply().await, None);
        assert_eq!(waiting.adds_to_s(), [None]);
    }
}

#[tokio::test]
async fn a_renewal_counts_for_what_follows_it_and_not_for_what_waits_before_it() {
    for &encoding in Encoding::ALL {
        let fewer = token_for("user", "nobody", 3_600);
        let then = [authenticate(&fewer), add(2, "s", "v")];
        let mut waiting = Waiting::with(encoding, &then).await;
        waiting.release().await;
        assert_eq!(waiting.reply().await, None);
        let auth = waiting.next().await;
        assert!(
            matches!(auth, ServerMessage::Auth { refused: None, .. }),
            "{auth:?}"
        );
        assert_eq!(waiting.client.error_code_of(2).await, "NOPERM");
        assert_eq!(waiting.adds_to_s(), [None]);
    }
}

fn revoked(subject: &str) -> RevokedTokens {
    let later = SystemTime::now() + Duration::from_secs(60);
    RevokedTokens::new([(Revocation::subject(subject), later)])
}
