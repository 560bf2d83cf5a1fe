//! Tokens and rights as clients see them, in both encodings.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use streamgate::{
    AuthPolicy, Config, KeySet, Permission, Revocation, RevokedTokens, RightRule, Role,
    StaticToken, VerificationKey,
};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Credit, Identity, Item, Outcome, Subscription};
use streamgate_protocol::{ClientMessage, ConsumeOptions, Operation, Reply, ServerMessage, close};

use crate::client::{Closed, TestClient, add, request, tail, wait_for};
use crate::handshake::HANDSHAKE;
use crate::http::exchange;
use crate::test_server::{TestServer, serve};
use crate::tokens::{self, authenticate, hello_with, token_for};

const CREDIT: Credit = Credit {
    entries: 10,
    bytes: 1_000,
};

fn policy() -> AuthPolicy {
    let own = RightRule::new(Permission::ALL, ["{sub}:*"]);
    let news = RightRule::new([Permission::Read], ["news"]);
    tokens::policy()
        .role("user", Role::new([own, news.clone()]).unwrap())
        .role("reader", Role::new([news]).unwrap())
}

async fn server() -> TestServer {
    TestServer::with(Config::default().access(policy())).await
}

fn token(subject: &str) -> String {
    token_for(subject, "user", 3_600)
}

/// Connects, says hello with a token and requests what follows, in one frame.
async fn connect(
    server: &TestServer,
    encoding: Encoding,
    token: Option<&str>,
    then: &[ClientMessage<'_>],
) -> TestClient {
    tokens::connect(server.address, encoding, token, then).await
}

async fn auth(client: &mut TestClient) -> (Option<Identity>, Option<String>) {
    match next(client).await {
        ServerMessage::Auth { identity, refused } => (identity, refused.map(|f| f.message)),
        other => panic!("not an auth: {other:?}"),
    }
}

/// Receives the next message that is no push.
async fn next(client: &mut TestClient) -> ServerMessage {
    loop {
        match client.receive().await.unwrap() {
            ServerMessage::Push { .. } => {}
            message => return message,
        }
    }
}

async fn next_error(client: &mut TestClient) -> (u64, String) {
    match next(client).await {
        ServerMessage::Reply {
            id,
            outcome: Outcome::Error(fault),
        } => (id, fault.code),
        other => panic!("not an error: {other:?}"),
    }
}

/// Makes a round trip, so that everything before it has begun.
async fn round_trip(client: &mut TestClient, nonce: u64) {
    client.send(&[ClientMessage::Ping { nonce }]).await;
    assert_eq!(next(client).await, ServerMessage::Pong { nonce });
}

fn assert_unauthenticated(closed: &Closed, word: &str) {
    assert_eq!(closed.code, close::UNAUTHENTICATED, "{closed:?}");
    assert!(
        closed.reason.starts_with(&format!("{word}: ")),
        "{closed:?}"
    );
}

#[tokio::test]
async fn requests_behind_a_hello_with_a_valid_token_are_performed() {
    let server = server().await;
    for &encoding in Encoding::ALL {
        let mut client = connect(
            &server,
            encoding,
            Some(&token("ann")),
            &[add(1, "ann:s", "v")],
        )
        .await;
        let identity = client.welcome().await.identity.unwrap();
        assert_eq!(identity.subject, "ann");
        let (renew, expires) = (
            identity.renew_after_ms.unwrap(),
            identity.expires_after_ms.unwrap(),
        );
        assert!((3_500_000..=3_600_000).contains(&expires), "{expires}");
        assert!(
            (expires / 2..=expires * 8 / 10).contains(&renew),
            "{renew} of {expires}"
        );
        client.reply_to(1).await.unwrap();
    }
}

#[tokio::test]
async fn requests_behind_a_hello_that_is_refused_are_not_performed() {
    let server = server().await;
    let expired = token_for("ann", "user", -1);
    for &encoding in Encoding::ALL {
        for (token, word) in [
            (None, "token_missing"),
            (Some(""), "token_missing"),
            (Some("x"), "token_malformed"),
            (Some(&*expired), "token_expired"),
        ] {
            let mut client = connect(&server, encoding, token, &[add(1, "ann:s", word)]).await;
            assert_unauthenticated(&client.closed().await, word);
        }
    }
    assert_eq!(server.backend.begun_adds(), [""; 0]);
}

#[tokio::test]
async fn a_token_may_come_in_the_header_of_the_handshake() {
    let server = server().await;
    let mut request =
        tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(format!(
            "ws://{}/v1/ws",
            server.address
        ))
        .unwrap();
    let headers = request.headers_mut();
    headers.insert(
        "sec-websocket-protocol",
        "streamgate.v1.bin".parse().unwrap(),
    );
    headers.insert(
        "authorization",
        format!("bearer {}", token("ann")).parse().unwrap(),
    );
    let stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let (socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    let mut client = TestClient::over(socket, Encoding::Binary);
    client.send(&[hello_with("c", None)]).await;
    assert_eq!(client.welcome().await.identity.unwrap().subject, "ann");
}

#[tokio::test]
async fn a_token_in_the_url_is_refused() {
    let server = server().await;
    for query in [
        "token=x",
        "a=b&access_token=x",
        "JWT=x",
        "authorization=x",
        "%74oken=x",
        "%4aw%54",
    ] {
        let request = format!("GET /v1/ws?{query} HTTP/1.1\r\nhost: localhost\r\n{HANDSHAKE}\r\n");
        let response = exchange(server.address, &request).await;
        assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
        assert!(response.contains("send it in hello"), "{response}");
    }
}

#[tokio::test]
async fn what_no_right_permits_is_refused_and_never_reaches_the_backend() {
    let server = server().await;
    for &encoding in Encoding::ALL {
        let mut client = connect(&server, encoding, Some(&token("ann")), &[]).await;
        client.welcome().await;
        client
            .send(&[
                add(1, "bob:s", "v"),
                add(2, "streamgate:x", "v"),
                add(3, "news", "v"),
            ])
            .await;
        for id in [1, 2, 3] {
            assert_eq!(client.error_code_of(id).await, "NOPERM");
        }
        client
            .send(&[tail(4, "bob:s", CREDIT), wait_for(5, "bob:s")])
            .await;
        assert_eq!(client.error_code_of(4).await, "NOPERM");
        assert_eq!(client.error_code_of(5).await, "NOPERM");
        client.send(&[tail(6, "news", CREDIT)]).await;
        round_trip(&mut client, 7).await;
    }
    assert!(
        server
            .backend
            .begun_adds()
            .iter()
            .all(|add| add.contains("news"))
    );
}

#[tokio::test]
async fn without_a_token_the_anonymous_role_decides() {
    let open = TestServer::with(Config::default().access(policy().anonymous("reader"))).await;
    let mut client = connect(&open, Encoding::Binary, None, &[]).await;
    assert_eq!(client.welcome().await.identity, None);
    client
        .send(&[add(1, "news", "v"), tail(2, "news", CREDIT)])
        .await;
    assert_eq!(client.error_code_of(1).await, "NOPERM");
    let mut invalid = connect(&open, Encoding::Binary, Some("x"), &[]).await;
    assert_unauthenticated(&invalid.closed().await, "token_malformed");
}

#[tokio::test]
async fn a_token_is_renewed_on_the_open_socket() {
    let server = server().await;
    for &encoding in Encoding::ALL {
        let mut client = connect(&server, encoding, Some(&token_for("ann", "user", 60)), &[]).await;
        client.welcome().await;
        client
            .send(&[authenticate(&token_for("ann", "user", 600))])
            .await;
        let (identity, refused) = auth(&mut client).await;
        assert_eq!(refused, None);
        assert!(identity.unwrap().expires_after_ms.unwrap() > 500_000);
        for (new, word) in [
            (token("bob"), "token_other_subject"),
            ("x".to_owned(), "token_malformed"),
        ] {
            client.send(&[authenticate(&new)]).await;
            let (identity, refused) = auth(&mut client).await;
            assert!(refused.unwrap().starts_with(word));
            assert_eq!(
                identity.unwrap().subject,
                "ann",
                "the token before it stays in use"
            );
        }
        client.send(&[add(1, "ann:s", "v")]).await;
        client.reply_to(1).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_is_to_be_renewed_before_its_own_end_though_there_is_leeway() {
    let lenient = policy().leeway(Duration::from_secs(100));
    let server = TestServer::with(Config::default().access(lenient)).await;
    for (life, max_renew_ms) in [(10, 8_000), (-5, 0)] {
        let token = token_for("ann", "user", life);
        let mut client = connect(&server, Encoding::Binary, Some(&token), &[]).await;
        let identity = client.welcome().await.identity.unwrap();
        let renew = identity.renew_after_ms.unwrap();
        assert!(renew <= max_renew_ms, "{renew} of {life} s");
        assert!(identity.expires_after_ms.unwrap() > 90_000);
    }
}

#[tokio::test]
async fn requests_behind_an_authenticate_have_the_new_rights() {
    let server = server().await;
    let mut client = connect(
        &server,
        Encoding::Binary,
        Some(&token_for("ann", "reader", 60)),
        &[],
    )
    .await;
    client.welcome().await;
    let new = token("ann");
    client
        .send(&[
            add(1, "ann:s", "v"),
            authenticate(&new),
            add(2, "ann:s", "v"),
        ])
        .await;
    assert_eq!(client.error_code_of(1).await, "NOPERM");
    auth(&mut client).await;
    client.reply_to(2).await.unwrap();
}

#[tokio::test]
async fn waits_and_subscriptions_end_when_a_renewal_takes_their_right() {
    let server = server().await;
    for &encoding in Encoding::ALL {
        let mut client = connect(&server, encoding, Some(&token("ann")), &[]).await;
        client.welcome().await;
        client
            .send(&[
                wait_for(1, "ann:s"),
                wait_for(2, "news"),
                tail(3, "ann:s", CREDIT),
                tail(4, "news", CREDIT),
            ])
            .await;
        round_trip(&mut client, 1).await;
        client
            .send(&[authenticate(&token_for("ann", "reader", 60))])
            .await;
        auth(&mut client).await;
        let mut ended = [next_error(&mut client).await, next_error(&mut client).await];
        ended.sort_unstable();
        let noperm = "NOPERM".to_owned();
        assert_eq!(ended, [(1, noperm.clone()), (3, noperm)]);
        round_trip(&mut client, 2).await;
    }
}

/// A policy with two roles, of which one may do the same within bounds.
fn policy_with_bounds(bounded: &str, free: &str) -> AuthPolicy {
    let mut rule = RightRule::new(Permission::ALL, ["s", "dead"]);
    let policy = tokens::policy().role(free, Role::new([rule.clone()]).unwrap());
    (rule.max_count, rule.maxlen) = (Some(2), Some(1));
    policy.role(bounded, Role::new([rule]).unwrap())
}

async fn perform(client: &mut TestClient, id: u64, operation: Operation<'_>) -> Reply {
    client.send(&[request(id, operation)]).await;
    match next(client).await {
        ServerMessage::Reply {
            outcome: Outcome::Ok(reply),
            ..
        } => reply,
        other => panic!("not a reply: {other:?}"),
    }
}

#[tokio::test]
async fn tighter_terms_reach_consumers_that_run() {
    for renews in [false, true] {
        let config = Config::default().access(policy_with_bounds("later", "user"));
        let (address, server) = serve(Arc::new(MemoryStreams::new()), config).await;
        let mut client = tokens::connect(address, Encoding::Json, Some(&token("ann")), &[]).await;
        client.welcome().await;
        let create_group = Operation::CreateGroup {
            stream: "s".into(),
            group: "g".into(),
            id: "0".into(),
        };
        perform(&mut client, 1, create_group).await;
        for _ in 0..3 {
            client.send(&[add(2, "s", "v")]).await;
            next(&mut client).await;
        }
        let read_group = Operation::ReadGroup {
            stream: "s".into(),
            group: "g".into(),
            consumer: "other".into(),
            count: 0,
            block_ms: None,
        };
        perform(&mut client, 3, read_group).await;
        let options = ConsumeOptions::default().claim_after_ms(1);
        let no_credit = Credit {
            entries: 0,
            ..CREDIT
        };
        client
            .send(&[ClientMessage::Subscribe {
                id: 4,
                subscription: Subscription::consume("s", "g", "c", options.dead_letter("dead", 1)),
                credit: no_credit,
            }])
            .await;
        for _ in 0..5 {
            client.send(&[add(5, "s", "v")]).await;
            next(&mut client).await;
        }
        if renews {
            let bounded = token_for("ann", "later", 60);
            client.send(&[authenticate(&bounded)]).await;
            auth(&mut client).await;
        } else {
            let bounded = policy_with_bounds("user", "later");
            server.set_access(bounded).unwrap();
        }
        client
            .send(&[ClientMessage::Grant {
                id: 4,
                credit: CREDIT,
            }])
            .await;
        let mut received = 0;
        while received < 5 {
            match client.receive().await.unwrap() {
                ServerMessage::Push {
                    item: Item::Entries { entries, .. },
                    ..
                } => {
                    assert!(entries.len() <= 2, "{} of {renews}", entries.len());
                    received += entries.len();
                }
                other => panic!("not a push: {other:?}"),
            }
        }
        let pending_summary = || Operation::PendingSummary {
            stream: "s".into(),
            group: "g".into(),
        };
        // The three of the other consumer are dead letters then.
        loop {
            match perform(&mut client, 6, pending_summary()).await {
                Reply::Summary(summary) if summary.count == 5 => break,
                Reply::Summary(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let read = Operation::Read {
            stream: "dead".into(),
            last_id: "0".into(),
            count: 0,
            block_ms: None,
        };
        match perform(&mut client, 7, read).await {
            Reply::Entries { entries, .. } => assert_eq!(entries.len(), 1, "{renews}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn at_its_end_a_token_closes_the_socket_after_what_was_begun() {
    let server = server().await;
    let mut client = connect(
        &server,
        Encoding::Binary,
        Some(&token_for("ann", "user", 2)),
        &[],
    )
    .await;
    client.welcome().await;
    client
        .send(&[add(1, "ann:s", "v"), wait_for(2, "ann:s")])
        .await;
    client.reply_to(1).await.unwrap();
    assert_unauthenticated(&client.closed().await, "token_expired");
}

#[tokio::test]
async fn a_revoked_token_closes_its_sockets_and_no_other() {
    let server = server().await;
    let mut ann = connect(&server, Encoding::Binary, Some(&token("ann")), &[]).await;
    let mut bob = connect(&server, Encoding::Json, Some(&token("bob")), &[]).await;
    ann.welcome().await;
    bob.welcome().await;
    revoke(&server, None, 0);
    assert_unauthenticated(&ann.closed().await, "token_revoked");
    bob.ping(1).await;
    let mut again = connect(&server, Encoding::Binary, Some(&token("ann")), &[]).await;
    assert_unauthenticated(&again.closed().await, "token_revoked");
}

/// Revokes the tokens of ann that were issued more than this number of seconds ago, of every issuer
/// or of one.
fn revoke(server: &TestServer, issuer: Option<&str>, seconds_ago: u64) {
    let subject = match issuer {
        Some(issuer) => Revocation::subject_of(issuer, "ann"),
        None => Revocation::subject("ann"),
    };
    let before = SystemTime::now() - Duration::from_secs(seconds_ago);
    let list = RevokedTokens::new([(subject, before)]);
    server.server.set_revoked_tokens(list);
}

/// A token of ann, of an issuer, that was issued an hour ago; or ten seconds ago.
fn token_of(issuer: &str, is_old: bool) -> String {
    let mut claims = serde_json::json!({ "iss": issuer });
    if is_old {
        let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
        let issued = hour_ago.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        claims["iat"] = issued.as_secs().into();
    }
    tokens::token_with("ann", "user", 3_600, claims)
}

const ISSUERS: [&str; 2] = ["https://a.example.com:1", "https://b.example.com:1"];

#[tokio::test]
async fn a_revocation_with_an_issuer_closes_the_sockets_of_its_subject_and_no_other() {
    let server = server().await;
    for &encoding in Encoding::ALL {
        server.server.set_revoked_tokens(RevokedTokens::default());
        let tokens = ISSUERS.map(|issuer| token_of(issuer, false));
        let mut revoked = connect(&server, encoding, Some(&tokens[0]), &[]).await;
        let mut other = connect(&server, encoding, Some(&tokens[1]), &[]).await;
        let mut without = connect(&server, encoding, Some(&token("ann")), &[]).await;
        for client in [&mut revoked, &mut other, &mut without] {
            client.welcome().await;
        }
        revoke(&server, Some(ISSUERS[0]), 0);
        assert_unauthenticated(&revoked.closed().await, "token_revoked");
        other.ping(1).await;
        without.ping(1).await;
        let mut revoked = connect(&server, encoding, Some(&tokens[0]), &[]).await;
        assert_unauthenticated(&revoked.closed().await, "token_revoked");
        let mut again = connect(&server, encoding, Some(&tokens[1]), &[]).await;
        again.welcome().await;
        // Without an issuer, it is of all that have the name.
        revoke(&server, None, 0);
        assert_unauthenticated(&again.closed().await, "token_revoked");
        assert_unauthenticated(&without.closed().await, "token_revoked");
    }
}

#[tokio::test]
async fn a_renewal_with_a_token_that_is_revoked_is_refused() {
    let server = server().await;
    for (revoked, encoding) in [
        (None, Encoding::Binary),
        (Some(ISSUERS[0]), Encoding::Binary),
        (Some(ISSUERS[0]), Encoding::Json),
    ] {
        revoke(&server, revoked, 60);
        for issuer in ISSUERS {
            let new = token_of(issuer, false);
            let mut client = connect(&server, encoding, Some(&new), &[]).await;
            client.welcome().await;
            client.send(&[authenticate(&token_of(issuer, true))]).await;
            let (identity, refused) = auth(&mut client).await;
            assert_eq!(identity.unwrap().subject, "ann");
            let is_revoked = revoked.is_none_or(|revoked| revoked == issuer);
            let word = refused.as_deref().and_then(|why| why.split(':').next());
            assert_eq!(word, is_revoked.then_some("token_revoked"), "{issuer}");
            client.ping(1).await;
        }
    }
}

#[tokio::test]
async fn a_new_policy_ends_what_it_does_not_permit_and_closes_no_socket_that_it_accepts() {
    let server = server().await;
    let mut client = connect(&server, Encoding::Binary, Some(&token("ann")), &[]).await;
    client.welcome().await;
    client
        .send(&[tail(1, "ann:s", CREDIT), tail(2, "news", CREDIT)])
        .await;
    round_trip(&mut client, 1).await;
    let news = RightRule::new([Permission::Read], ["news"]);
    let narrower = policy().role("user", Role::new([news]).unwrap());
    server.server.set_access(narrower).unwrap();
    assert_eq!(next_error(&mut client).await, (1, "NOPERM".to_owned()));
    round_trip(&mut client, 2).await;
    let other_key = VerificationKey::from_secret(Some("other".to_owned()), &[7; 32]).unwrap();
    let other = policy().keys(KeySet::new([other_key]).unwrap(), "streamgate");
    server.server.set_access(other).unwrap();
    assert_unauthenticated(&client.closed().await, "token_key_unknown");
    assert!(
        server
            .server
            .set_access(policy().anonymous("nobody"))
            .is_err()
    );
}

#[tokio::test]
async fn a_server_without_a_policy_ignores_tokens() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = connect(&server, encoding, Some("x"), &[]).await;
        assert_eq!(client.welcome().await.identity, None);
        client.send(&[authenticate("y"), add(1, "any", "v")]).await;
        client.reply_to(1).await.unwrap();
    }
}

#[tokio::test]
async fn the_clients_of_different_subjects_do_not_end_each_other() {
    let server = server().await;
    let mut ann = connect(&server, Encoding::Binary, Some(&token("ann")), &[]).await;
    ann.welcome().await;
    let mut bob = connect(&server, Encoding::Binary, Some(&token("bob")), &[]).await;
    bob.welcome().await;
    ann.ping(1).await;
    let mut newer = connect(&server, Encoding::Binary, Some(&token("ann")), &[]).await;
    newer.welcome().await;
    assert_eq!(ann.closed().await.code, close::TAKEN_OVER);
    bob.ping(2).await;
}

#[tokio::test]
async fn an_anonymous_client_does_not_end_the_socket_of_a_subject() {
    let server = TestServer::with(Config::default().access(policy().anonymous("reader"))).await;
    let mut ann = connect(&server, Encoding::Binary, Some(&token("ann")), &[]).await;
    ann.welcome().await;
    let mut anonymous = connect(&server, Encoding::Binary, None, &[]).await;
    anonymous.welcome().await;
    ann.ping(1).await;
    anonymous.ping(1).await;
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_closed_when_its_token_ends() {
    let server = server().await;
    let token = token_for("ann", "user", 2);
    let mut client = connect(&server, Encoding::Binary, Some(&token), &[]).await;
    client.welcome().await;
    let closed = loop {
        let pings: Vec<_> = (0..64).map(|nonce| ClientMessage::Ping { nonce }).collect();
        let frame = client.frame(&pings);
        let message = client.message(frame);
        // Once the server has closed, there is nobody to send to.
        let _ = futures_util::SinkExt::send(&mut client.socket, message).await;
        match client.receive().await {
            Ok(_) => {}
            Err(closed) => break closed,
        }
    };
    assert_unauthenticated(&closed, "token_expired");
}

#[tokio::test]
async fn a_socket_without_a_hello_is_closed_soon() {
    let server = server().await;
    let mut silent = TestClient::connect_silently(server.address, Encoding::Binary).await;
    assert_unauthenticated(&silent.closed().await, "token_missing");
}

#[tokio::test]
async fn sockets_without_a_hello_have_a_share_and_the_oldest_makes_room() {
    let config = Config::default()
        .max_sockets(8)
        .max_sockets_per_address(8)
        .access(policy());
    let server = TestServer::with(config).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(TestClient::connect_silently(server.address, Encoding::Binary).await);
    }
    for silent in &mut silent[..4] {
        assert_eq!(silent.closed().await.code, close::HEARTBEAT_MISSED);
    }
    let mut client = connect(&server, Encoding::Binary, Some(&token("ann")), &[]).await;
    client.welcome().await;
    client.ping(1).await;
}

#[tokio::test]
async fn a_whole_message_with_the_hello_has_a_bound_too() {
    let server = server().await;
    let padding = "x".repeat(60_000);
    for (copies, is_accepted) in [(1, true), (2, false)] {
        let adds: Vec<_> = (0..copies).map(|id| add(id, "ann:s", &padding)).collect();
        let mut client = connect(&server, Encoding::Binary, Some(&token("ann")), &adds).await;
        if is_accepted {
            client.welcome().await;
            client.reply_to(0).await.unwrap();
        } else {
            assert_eq!(client.closed().await.code, close::FRAME_TOO_LARGE);
        }
    }
}

#[tokio::test]
async fn a_static_token_whose_subject_is_edited_ends_its_sockets() {
    let with_subject = |subject: &str| {
        let digest =
            ring::digest::digest(&ring::digest::SHA256, b"0123456789abcdef0123456789abcdef");
        policy().static_tokens([StaticToken {
            subject: subject.to_owned(),
            sha256: digest.as_ref().try_into().unwrap(),
            roles: vec!["user".to_owned()],
        }])
    };
    let server = TestServer::with(Config::default().access(with_subject("ci"))).await;
    let token = "0123456789abcdef0123456789abcdef";
    let mut client = connect(&server, Encoding::Binary, Some(token), &[]).await;
    client.welcome().await;
    server.server.set_access(with_subject("ci")).unwrap();
    client.ping(1).await;
    server.server.set_access(with_subject("deploy")).unwrap();
    assert_unauthenticated(&client.closed().await, "token_other_subject");
}

#[tokio::test]
async fn a_client_that_renews_without_end_is_read_slowly_and_loses_nothing() {
    let server = server().await;
    let mut client = connect(&server, Encoding::Binary, Some(&token("ann")), &[]).await;
    client.welcome().await;
    let began = tokio::time::Instant::now();
    let new = token("ann");
    let renewals: Vec<_> = (0..7).map(|_| authenticate(&new)).collect();
    client.send(&renewals).await;
    client.send(&[add(1, "ann:s", "v")]).await;
    for _ in 0..7 {
        assert_eq!(auth(&mut client).await.1, None);
    }
    client.reply_to(1).await.unwrap();
    // Five at once, then one a second; no upper bound, because the machine may be busy.
    assert!(began.elapsed() >= Duration::from_millis(1_900));
}

#[tokio::test]
async fn a_client_without_a_token_cannot_send_much() {
    let server = server().await;
    let mut client = TestClient::connect_silently(server.address, Encoding::Binary).await;
    let message = client.message(vec![0; 1 << 20]);
    // The server may close before all of it is sent.
    let _ = futures_util::SinkExt::send(&mut client.socket, message).await;
    assert_eq!(client.closed().await.code, close::FRAME_TOO_LARGE);
}
