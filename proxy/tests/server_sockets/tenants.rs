//! Two tenants do not learn of each other, and none learns its prefix: in no text and in no entry.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use streamgate::{AuthPolicy, Config, Limits, Permission, RightRule, Role};
use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Credit, Outcome, Subscription};
use streamgate_protocol::{
    CacheError, ClientMessage, ConsumeOptions, Operation, Reply, ServerMessage, close,
};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{TestClient, add, request, tail, wait_for};
use crate::rights_table::{Row, decode, rows};
use crate::test_server::{TestServer, serve};
use crate::tokens::{self, connect, token_with};

const CREDIT: Credit = Credit {
    entries: 10,
    bytes: 10_000,
};

/// Texts that no client may see.
const SECRETS: [&str; 5] = ["tenant:", "acme", "script", "127.0.0.1", "XREADGROUP"];

/// A server with tenants on some backend.
struct Tenants {
    address: SocketAddr,
    redis: Option<RedisServer>,
}

impl Tenants {
    async fn on_all_backends() -> Vec<Self> {
        let mut all = vec![Self::on(Arc::new(MemoryStreams::new()), None).await];
        for version in RedisVersion::ALL {
            let redis = RedisServer::start(version).unwrap();
            let streams = RedisStreams::connect(&redis.url()).await.unwrap();
            all.push(Self::on(Arc::new(streams), Some(redis)).await);
        }
        all
    }

    async fn on(backend: Arc<dyn Backend>, redis: Option<RedisServer>) -> Self {
        let policy = policy_with("tenant:{org}:");
        let (address, _) = serve(backend, Config::default().access(policy)).await;
        Self { address, redis }
    }

    async fn client(&self, encoding: Encoding, org: &str) -> TestClient {
        let token = token_with(org, "tenant", 3_600, json!({ "org": org }));
        let mut client = connect(self.address, encoding, Some(&token), &[]).await;
        client.welcome().await;
        client
    }

    /// Makes a key of Redis hold something else than a stream.
    async fn set(&self, key: &str) -> bool {
        let Some(redis) = &self.redis else {
            return false;
        };
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port()))
            .await
            .unwrap();
        let command = format!("SET {key} text\r\n");
        stream.write_all(command.as_bytes()).await.unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"+OK\r\n");
        true
    }
}

/// Receives the next message, and checks that it has no secret.
async fn receive(client: &mut TestClient) -> ServerMessage {
    let message = client.receive().await.unwrap();
    let mut json = Vec::new();
    Encoding::Json.append(&mut json, &message);
    let json = String::from_utf8(json).unwrap();
    let shown = SECRETS.iter().find(|secret| json.contains(**secret));
    assert_eq!(shown, None, "{json}");
    message
}

async fn error(client: &mut TestClient) -> CacheError {
    outcome(client).await.unwrap_err()
}

/// Receives messages up to the next reply.
async fn outcome(client: &mut TestClient) -> Result<Reply, CacheError> {
    loop {
        if let ServerMessage::Reply { outcome, .. } = receive(client).await {
            return match outcome {
                Outcome::Ok(reply) => Ok(reply),
                Outcome::Error(fault) => Err(CacheError::from(&fault)),
            };
        }
    }
}

fn consume(options: ConsumeOptions) -> ClientMessage<'static> {
    ClientMessage::Subscribe {
        id: 500,
        subscription: Subscription::consume("s", "g", "c", options),
        credit: CREDIT,
    }
}

fn create_group() -> ClientMessage<'static> {
    request(
        501,
        Operation::CreateGroup {
            stream: "s".into(),
            group: "g".into(),
            id: "0".into(),
        },
    )
}

fn read(stream: &str, block_ms: Option<u64>) -> ClientMessage<'_> {
    request(
        502,
        Operation::Read {
            stream: stream.into(),
            last_id: "0".into(),
            count: 10,
            block_ms,
        },
    )
}

/// Adds an entry, and delivers it to another consumer.
async fn deliver_one(client: &mut TestClient) {
    let read_group = Operation::ReadGroup {
        stream: "s".into(),
        group: "g".into(),
        consumer: "other".into(),
        count: 1,
        block_ms: None,
    };
    client
        .send(&[add(1, "s", "v"), request(2, read_group)])
        .await;
    for _ in 0..2 {
        outcome(client).await.unwrap();
    }
}

/// Returns every operation that does not wait.
fn answered_at_once() -> impl Iterator<Item = Row> {
    let waits = |row: &Row| !row.arguments["block_ms"].is_null();
    let lasts = |row: &Row| ["tail", "consume"].contains(&&*row.name);
    rows()
        .into_iter()
        .filter(move |row| !waits(row) && !lasts(row))
}

fn creates(row: &Row) -> bool {
    ["add", "idempotent_add", "create_group"].contains(&&*row.name)
}

/// Sends operations, and returns the codes of their errors.
async fn codes_of(client: &mut TestClient, rows: impl Iterator<Item = Row>) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for row in rows {
        client.send(&[decode(&row.json)]).await;
        if let Err(error) = outcome(client).await {
            codes.insert(error.code().to_owned());
        }
    }
    codes
}

#[tokio::test]
async fn subjects_of_the_same_name_in_two_tenants_or_of_two_issuers_are_two_clients() {
    let tenants = Tenants::on(Arc::new(MemoryStreams::new()), None).await;
    let of = |claims| token_with("1", "tenant", 3_600, claims);
    let tokens = [
        of(json!({ "org": "one" })),
        of(json!({ "org": "two" })),
        of(json!({ "org": "one", "iss": "https://other" })),
    ];
    let mut clients = Vec::new();
    for token in &tokens {
        let mut client = connect(tenants.address, Encoding::Json, Some(token), &[]).await;
        client.welcome().await;
        clients.push(client);
    }
    for client in &mut clients {
        client.ping(1).await;
    }
    // A token of another issuer is no renewal.
    clients[0].send(&[tokens::authenticate(&tokens[2])]).await;
    match receive(&mut clients[0]).await {
        ServerMessage::Auth { refused, .. } => assert!(refused.is_some()),
        other => panic!("{other:?}"),
    }
}

/// A policy whose subjects have a tenant for each value of a claim.
fn policy_with(prefix: &str) -> AuthPolicy {
    let mut right = RightRule::new(Permission::ALL, ["*"]);
    right.prefix = Some(prefix.to_owned());
    tokens::policy().role("tenant", Role::new([right]).unwrap())
}

/// A token of ann in a tenant.
fn ann_in(org: &str) -> String {
    token_with(
        "ann",
        "tenant",
        3_600,
        json!({ "org": org, "other": format!("{org}2") }),
    )
}

/// Says hello with a client id.
async fn hello(server: &TestServer, encoding: Encoding, id: &str, token: &str) -> TestClient {
    let mut client = TestClient::connect_silently(server.address, encoding).await;
    client.send(&[tokens::hello_with(id, Some(token))]).await;
    client
}

async fn welcome(server: &TestServer, encoding: Encoding, id: &str, token: &str) -> TestClient {
    let mut client = hello(server, encoding, id, token).await;
    client.welcome().await;
    client
}

async fn renew(client: &mut TestClient, token: &str) {
    client.send(&[tokens::authenticate(token)]).await;
    loop {
        match receive(client).await {
            ServerMessage::Auth { refused, .. } => return assert_eq!(refused, None),
            ServerMessage::Push { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A server on which a subject may have this many sockets in each tenant.
async fn server_with(sockets: u32) -> TestServer {
    let mut limits = Limits::default();
    limits.per_subject.sockets = sockets;
    let config = Config::default().access(policy_with("tenant:{org}:"));
    TestServer::with(config.limits(limits)).await
}

#[tokio::test]
async fn a_renewal_into_another_tenant_ends_what_belongs_to_the_one_before() {
    let server = server_with(10).await;
    for &encoding in Encoding::ALL {
        let mut client = welcome(&server, encoding, "c", &ann_in("one")).await;
        client.send(&[wait_for(1, "s"), tail(2, "s", CREDIT)]).await;
        client.ping(1).await;
        renew(&mut client, &ann_in("two")).await;
        for _ in 0..2 {
            assert_eq!(error(&mut client).await.code(), "NOPERM");
        }
        client.ping(2).await;
        client.close().await;
    }
}

#[tokio::test]
async fn a_client_that_has_moved_to_another_tenant_is_taken_over_there() {
    let server = server_with(10).await;
    for &encoding in Encoding::ALL {
        for renews in [true, false] {
            server
                .server
                .set_access(policy_with("tenant:{org}:"))
                .unwrap();
            let mut moved = welcome(&server, encoding, "c", &ann_in("one")).await;
            let after = if renews {
                renew(&mut moved, &ann_in("two")).await;
                ann_in("two")
            } else {
                server.server.set_access(policy_with("{other}:")).unwrap();
                // It has been heard once this is answered.
                moved.ping(1).await;
                ann_in("one")
            };
            // In its tenant of before, the client is another one.
            if renews {
                let other = welcome(&server, encoding, "c", &ann_in("one")).await;
                moved.ping(2).await;
                other.close().await;
            }
            let mut newer = welcome(&server, encoding, "c", &after).await;
            assert_eq!(moved.closed().await.code, close::TAKEN_OVER);
            newer.ping(3).await;
            newer.close().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_moves_to_another_tenant_takes_over_there() {
    let server = server_with(1).await;
    let mut old = welcome(&server, Encoding::Binary, "c", &ann_in("two")).await;
    let mut moving = welcome(&server, Encoding::Json, "c", &ann_in("one")).await;
    old.ping(1).await;
    renew(&mut moving, &ann_in("two")).await;
    assert_eq!(old.closed().await.code, close::TAKEN_OVER);
    moving.ping(2).await;
}

#[tokio::test]
async fn a_socket_counts_for_the_tenant_of_now() {
    let server = server_with(1).await;
    let mut moving = welcome(&server, Encoding::Binary, "a", &ann_in("one")).await;
    let mut refused = hello(&server, Encoding::Binary, "b", &ann_in("one")).await;
    assert_eq!(refused.closed().await.code, close::OUT_OF_MEMORY);
    renew(&mut moving, &ann_in("two")).await;
    // It counts no more for the one, and counts for the other.
    let mut next = welcome(&server, Encoding::Json, "b", &ann_in("one")).await;
    let mut refused = hello(&server, Encoding::Binary, "c", &ann_in("two")).await;
    assert_eq!(refused.closed().await.code, close::OUT_OF_MEMORY);
    moving.ping(1).await;
    // No renewal passes the limit.
    next.send(&[tokens::authenticate(&ann_in("two"))]).await;
    assert_eq!(next.closed().await.code, close::OUT_OF_MEMORY);
    moving.ping(2).await;
}

/// A token of ann in a tenant, and in another one once the policy goes by the other claim.
fn ann_between(org: &str, other: &str) -> String {
    let claims = json!({ "org": org, "other": other });
    token_with("ann", "tenant", 3_600, claims)
}

/// Returns when ann has room for a socket in a tenant.
async fn until_room(server: &TestServer, token: &str) {
    loop {
        let mut client = hello(server, Encoding::Binary, "c", token).await;
        if client.receive().await.is_ok() {
            return;
        }
    }
}

#[tokio::test]
async fn what_was_begun_is_answered_before_a_move_into_a_full_tenant_closes_the_socket() {
    for &encoding in Encoding::ALL {
        for renews in [true, false] {
            let server = server_with(1).await;
            let mut holder = welcome(&server, encoding, "a", &ann_between("two", "two")).await;
            let mut moving = welcome(&server, encoding, "b", &ann_between("one", "two")).await;
            moving.send(&[1, 2, 3].map(|id| add(id, "slow", "v"))).await;
            server.backend.until_slow_adds(1).await;
            if renews {
                renew(&mut moving, &ann_between("two", "two")).await;
            } else {
                let policy = policy_with("tenant:{other}:");
                server.server.set_access(policy).unwrap();
                until_room(&server, &ann_between("three", "one")).await;
            }
            server.backend.finish_slow_adds();
            for _ in 0..3 {
                let added = outcome(&mut moving).await;
                assert!(matches!(added, Ok(Reply::Added { .. })), "{added:?}");
            }
            assert_eq!(moving.closed().await.code, close::OUT_OF_MEMORY);
            holder.ping(1).await;
        }
    }
}

#[tokio::test]
async fn a_newer_socket_in_the_tenant_before_begins_after_what_was_begun_there() {
    for &encoding in Encoding::ALL {
        let server = server_with(10).await;
        let mut moving = welcome(&server, encoding, "c", &ann_in("one")).await;
        moving.send(&[add(1, "slow", "v")]).await;
        server.backend.until_slow_adds(1).await;
        renew(&mut moving, &ann_in("two")).await;
        let mut newer = hello(&server, encoding, "c", &ann_in("one")).await;
        let finish = async {
            for nonce in 0..20 {
                moving.ping(nonce).await;
            }
            assert_eq!(server.backend.slow_adds(), 1);
            server.backend.finish_slow_adds();
        };
        let begin = async {
            newer.welcome().await;
            assert_eq!(server.backend.slow_adds(), 0);
        };
        tokio::join!(finish, begin);
        outcome(&mut moving).await.unwrap();
        // It is still the client of its tenant of now.
        moving.ping(100).await;
        newer.close().await;
    }
}

#[tokio::test]
async fn a_client_moves_back_at_once_while_what_was_begun_is_under_way() {
    for &encoding in Encoding::ALL {
        let server = server_with(10).await;
        let mut moving = welcome(&server, encoding, "c", &ann_in("one")).await;
        moving.send(&[add(1, "slow", "v")]).await;
        server.backend.until_slow_adds(1).await;
        for org in ["two", "one"] {
            renew(&mut moving, &ann_in(org)).await;
        }
        let mut newer = welcome(&server, encoding, "c", &ann_in("one")).await;
        assert_eq!(moving.closed().await.code, close::TAKEN_OVER);
        newer.ping(1).await;
        newer.close().await;
    }
}

#[tokio::test]
async fn no_text_shows_a_tenants_prefix() {
    for tenants in Tenants::on_all_backends().await {
        for &encoding in Encoding::ALL {
            let org = format!("acme.{encoding:?}");
            let mut client = tenants.client(encoding, &org).await;
            client.send(&[consume(ConsumeOptions::default())]).await;
            assert_eq!(error(&mut client).await.code(), "NOGROUP");
            let rows = answered_at_once().filter(|row| !creates(row));
            assert!(codes_of(&mut client, rows).await.contains("NOGROUP"));
            codes_of(&mut client, answered_at_once()).await;
            // The vectors have created the group.
            let codes = codes_of(&mut client, answered_at_once()).await;
            assert!(codes.contains("BUSYGROUP"), "{codes:?}");

            let mut client = tenants.client(encoding, &format!("{org}.text")).await;
            if !tenants.set(&format!("tenant:{org}.text:s")).await {
                continue;
            }
            let codes = codes_of(&mut client, answered_at_once()).await;
            assert!(codes.contains("WRONGTYPE"), "{codes:?}");
            for subscribe in [tail(500, "s", CREDIT), consume(ConsumeOptions::default())] {
                client.send(&[subscribe]).await;
                let code = error(&mut client).await.code().to_owned();
                assert!(["WRONGTYPE", "NOGROUP"].contains(&&*code), "{code}");
            }
        }
    }
}

#[tokio::test]
async fn no_dead_letter_shows_a_tenants_prefix() {
    for tenants in Tenants::on_all_backends().await {
        for &encoding in Encoding::ALL {
            let org = format!("acme.{encoding:?}");
            let mut client = tenants.client(encoding, &org).await;
            client.send(&[create_group()]).await;
            outcome(&mut client).await.unwrap();
            deliver_one(&mut client).await;
            let options = ConsumeOptions::default().claim_after_ms(1);
            let buries = options.clone().dead_letter("d", 1);
            client.send(&[consume(buries), read("d", Some(0))]).await;
            let Ok(Reply::Entries { entries, .. }) = outcome(&mut client).await else {
                panic!("no dead letter");
            };
            assert_eq!(entries[0].get("dead-letter-stream").unwrap(), "s");
            client.send(&[ClientMessage::Cancel { id: 500 }]).await;

            if tenants.set(&format!("tenant:{org}:wrong")).await {
                deliver_one(&mut client).await;
                client
                    .send(&[consume(options.dead_letter("wrong", 1))])
                    .await;
                assert_eq!(error(&mut client).await.code(), "WRONGTYPE");
            }
        }
    }
}

#[tokio::test]
async fn two_tenants_do_not_see_each_other() {
    for tenants in Tenants::on_all_backends().await {
        for &encoding in Encoding::ALL {
            let org = |name: &str| format!("{name}.{encoding:?}");
            let mut one = tenants.client(encoding, &org("one")).await;
            let mut two = tenants.client(encoding, &org("two")).await;
            one.send(&[add(1, "s", "v"), create_group()]).await;
            for _ in 0..2 {
                outcome(&mut one).await.unwrap();
            }
            // What exists for the one looks to the other like what never existed.
            let mut nobody = tenants.client(encoding, &org("nobody")).await;
            for row in answered_at_once().filter(|row| !creates(row)) {
                two.send(&[decode(&row.json)]).await;
                nobody.send(&[decode(&row.json)]).await;
                let seen = [outcome(&mut two).await, outcome(&mut nobody).await];
                assert_eq!(seen[0], seen[1], "{}", row.json);
            }
            two.send(&[create_group(), add(1, "s", "other"), read("s", None)])
                .await;
            outcome(&mut two).await.unwrap();
            outcome(&mut two).await.unwrap();
            let Ok(Reply::Entries { entries, .. }) = outcome(&mut two).await else {
                panic!("no entries");
            };
            assert_eq!(entries.len(), 1);
            assert_eq!(entries[0].get("f").unwrap(), "other");
        }
    }
}
