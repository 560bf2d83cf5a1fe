//! The table of every operation and subscription × every right × both encodings, through a server.
//!
//! The operations are those of the golden vectors, in which the protocol's own tests let none be
//! missing. One without a row in [`needs`] fails.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use streamgate::{AuthPolicy, Config, Limits, Permission, RightRule, Role};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, ServerMessage};

use crate::client::TestClient;
use crate::counting_backend::{COUNTED, CountingBackend};
use crate::test_server::serve;
use crate::tokens::{self, authenticate, connect, token_for};

/// A request or a subscription of the vectors, with names of the table's own.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) json: String,
    pub(crate) arguments: Value,
}

/// Returns what an operation or a subscription needs.
fn needs(name: &str, arguments: &Value) -> BTreeSet<&'static str> {
    let has = |field: &str| !arguments[field].is_null();
    let mut needs = BTreeSet::from([match name {
        "add" | "idempotent_add" => "add",
        "read_latest" | "read" | "tail" => "read",
        "read_group" | "read_pending" | "ack" | "consume" => "consume",
        "claim" => "claim",
        "pending_summary" | "pending" | "consumers" => "inspect",
        "create_group" | "remove_consumer" => "manage",
        other => panic!("{other} has no row in this table"),
    }]);
    needs.extend(has("maxlen").then_some("trim"));
    if name == "consume" {
        needs.extend(has("claim_after_ms").then_some("claim"));
        needs.extend(has("create_from").then_some("manage"));
        needs.extend(has("dead_letter").then_some("add"));
    }
    needs
}

/// Returns all requests and subscriptions of the vectors that are valid.
pub(crate) fn rows() -> Vec<Row> {
    let vectors = include_str!("../../../protocol/vectors/client.json");
    let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
    let rows = vectors.iter().filter_map(|vector| {
        let mut message: Value = serde_json::from_str(vector["json"].as_str()?).ok()?;
        let inner = ["/request/operation", "/subscribe/subscription"];
        let inner = inner.into_iter().find(|at| message.pointer(at).is_some())?;
        let named = message.pointer_mut(inner)?.as_object_mut()?;
        let (name, arguments) = named.iter_mut().next()?;
        let name = name.clone();
        for (field, value) in [
            ("stream", "s"),
            ("group", "g"),
            ("consumer", "c"),
            ("new_owner", "o"),
            ("dead_letter", "d"),
        ] {
            if !arguments[field].is_null() {
                arguments[field] = value.into();
            }
        }
        let arguments = arguments.clone();
        let json = message.to_string();
        let valid = match decode(&json) {
            ClientMessage::Request { operation, .. } => operation.validate(),
            ClientMessage::Subscribe { subscription, .. } => subscription.validate(),
            _ => return None,
        };
        valid.ok().map(|()| Row {
            name,
            json,
            arguments,
        })
    });
    let rows: Vec<_> = rows.collect();
    let names: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
    assert_eq!(names.len(), 15, "each has a valid vector: {names:?}");
    rows
}

pub(crate) fn decode(json: &str) -> ClientMessage<'_> {
    let mut messages = Encoding::Json.messages(json.as_bytes());
    messages.next().unwrap().unwrap()
}

/// A server with a policy in front of a backend that counts.
struct Table {
    address: SocketAddr,
    backend: Arc<CountingBackend>,
    rows: Vec<Row>,
}

impl Table {
    async fn new(policy: AuthPolicy) -> Self {
        let backend = Arc::new(CountingBackend::default());
        let mut limits = Limits::default();
        limits.per_subject.new_windows_per_s = u64::from(u32::MAX);
        let config = Config::default().access(policy).limits(limits);
        let (address, _) = serve(backend.clone(), config).await;
        Self {
            address,
            backend,
            rows: rows(),
        }
    }

    /// Connects with a role: at once, or by a renewal of a token with all rights.
    async fn client(&self, encoding: Encoding, role: &str, renews: bool) -> TestClient {
        let token = token_for("ann", role, 3_600);
        if !renews {
            let mut client = connect(self.address, encoding, Some(&token), &[]).await;
            client.welcome().await;
            return client;
        }
        let all = token_for("ann", "all", 3_600);
        let mut client = connect(self.address, encoding, Some(&all), &[]).await;
        client.welcome().await;
        client.send(&[authenticate(&token)]).await;
        match client.receive().await.unwrap() {
            ServerMessage::Auth { refused: None, .. } => client,
            other => panic!("not renewed: {other:?}"),
        }
    }

    /// Requests all rows with a role, which are permitted or refused as expected.
    async fn check(&self, role: &str, is_permitted: impl Fn(&Row) -> bool) -> [usize; 2] {
        let mut counts = [0; 2];
        for &encoding in Encoding::ALL {
            for renews in [false, true] {
                let mut client = self.client(encoding, role, renews).await;
                for row in &self.rows {
                    let expected = is_permitted(row);
                    client.send(&[decode(&row.json)]).await;
                    let (_, result) = client.reply().await;
                    let error = result.unwrap_err();
                    let what = format!("{role}, renewed: {renews}, {}: {error}", row.json);
                    let asked = self.backend.take();
                    if expected {
                        assert_eq!(error.code(), COUNTED, "{what}");
                        assert!(asked > 0, "{what}");
                    } else {
                        assert_eq!(error.code(), "NOPERM", "{what}");
                        assert_eq!(asked, 0, "the backend was asked: {what}");
                        let verb = row.name.strip_prefix("idempotent_").unwrap_or(&row.name);
                        assert!(error.message().contains(verb), "{what}");
                    }
                    counts[usize::from(expected)] += 1;
                }
            }
        }
        counts
    }
}

fn everything(allow: impl IntoIterator<Item = Permission>) -> Role {
    let allow: Vec<_> = allow.into_iter().collect();
    if allow.is_empty() {
        return Role::new([]).unwrap();
    }
    Role::new([RightRule::new(allow, ["*"])]).unwrap()
}

fn but(left_out: Permission) -> impl Iterator<Item = Permission> {
    Permission::ALL.into_iter().filter(move |p| *p != left_out)
}

#[tokio::test]
async fn every_operation_needs_its_rights_and_no_other() {
    let mut policy = tokens::policy()
        .role("all", everything(Permission::ALL))
        .role("none", everything([]));
    for permission in Permission::ALL {
        policy = policy
            .role(format!("only {permission}"), everything([permission]))
            .role(format!("all but {permission}"), everything(but(permission)));
    }
    // Roles in a token are a list here, so their names may have spaces.
    let table = Table::new(policy).await;
    let mut counts = [
        table.check("all", |_| true).await,
        table.check("none", |_| false).await,
    ];
    for permission in Permission::ALL {
        let name = permission.as_str();
        let only = |row: &Row| {
            needs(&row.name, &row.arguments)
                .iter()
                .all(|need| *need == name)
        };
        let but = |row: &Row| !needs(&row.name, &row.arguments).contains(name);
        for checked in [
            table.check(&format!("only {permission}"), only).await,
            table.check(&format!("all but {permission}"), but).await,
        ] {
            counts[0] = [counts[0][0] + checked[0], counts[0][1] + checked[1]];
        }
    }
    println!("refused and permitted: {counts:?}");
}

#[tokio::test]
async fn every_name_of_an_operation_needs_a_pattern_that_matches_it() {
    let named = |streams: &[&str], groups: &[&str], consumers: &[&str]| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut right = RightRule::new(Permission::ALL, streams.iter().copied());
        (right.groups, right.consumers) = (list(groups), list(consumers));
        Role::new([right]).unwrap()
    };
    let policy = tokens::policy()
        .role("all", named(&["s*", "d"], &["g", "x"], &["c", "*"]))
        .role("stream", named(&["d", "S", "s.*", "ss"], &["*"], &["*"]))
        .role("dead_letter", named(&["s", "D", "dd*"], &["*"], &["*"]))
        .role("group", named(&["*"], &["G", "gg", "g.*"], &["*"]))
        .role("consumer", named(&["*"], &["*"], &["o", "C", "c.*"]))
        .role("new_owner", named(&["*"], &["*"], &["c", "O", "oo"]));
    let table = Table::new(policy).await;
    table.check("all", |_| true).await;
    for field in ["stream", "dead_letter", "group", "consumer", "new_owner"] {
        let counts = table
            .check(field, |row| row.arguments[field].is_null())
            .await;
        assert!(counts[0] > 0, "{field} is in no row");
    }
}
