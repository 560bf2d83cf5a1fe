//! Rates and shares of sockets, subjects and addresses.

use streamgate::{Config, Limits, Permission, RightRule, Role};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Fault, Outcome};
use streamgate_protocol::{Operation, ServerMessage, close};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::client::{TestClient, add, request};
use crate::test_server::TestServer;
use crate::tokens::{self, connect, token_for};

async fn server(change: impl FnOnce(&mut Limits)) -> TestServer {
    let mut limits = Limits::default();
    change(&mut limits);
    let all = Role::new([RightRule::new(Permission::ALL, ["*"])]).unwrap();
    let policy = tokens::policy().role("all", all).anonymous("all");
    TestServer::with(Config::default().access(policy).limits(limits)).await
}

async fn client(server: &TestServer, encoding: Encoding, subject: Option<&str>) -> TestClient {
    let token = subject.map(|subject| token_for(subject, "all", 3_600));
    let mut client = connect(server.address, encoding, token.as_deref(), &[]).await;
    client.welcome().await;
    client
}

/// Makes a request, and returns why it was refused, if it was.
async fn refusal(client: &mut TestClient, operation: Operation<'_>) -> Option<Fault> {
    client.send(&[request(1, operation)]).await;
    match client.receive().await.unwrap() {
        ServerMessage::Reply { outcome, .. } => match outcome {
            Outcome::Ok(_) => None,
            Outcome::Error(fault) => Some(fault),
        },
        other => panic!("not a reply: {other:?}"),
    }
}

fn add_of(bytes: usize) -> Operation<'static> {
    Operation::Add {
        stream: "s".into(),
        fields: vec![("f".into(), "x".repeat(bytes).into())],
        maxlen: None,
    }
}

fn assert_refused(fault: Option<Fault>, what: &str) {
    let fault = fault.expect("refused");
    assert_eq!((&*fault.code, &*fault.retry), ("OVERLOADED", "later"));
    assert!(fault.message.contains(what), "{fault:?}");
    assert!(fault.retry_after_ms.is_some_and(|ms| ms > 0), "{fault:?}");
}

#[tokio::test]
async fn a_socket_far_beyond_its_rate_is_refused_and_others_are_not() {
    let server = server(|limits| limits.per_socket.bytes_per_s = 1_000).await;
    for (&encoding, [one, another]) in Encoding::ALL.iter().zip([["ann", "bob"], ["cat", "dan"]]) {
        let mut client = client(&server, encoding, Some(one)).await;
        let mut other = self::client(&server, encoding, Some(another)).await;
        assert_eq!(refusal(&mut client, add_of(LARGE)).await, None);
        let refused = refusal(&mut client, add_of(1)).await;
        assert_refused(refused, "this connection sends too many bytes");
        // Pings are free.
        client.ping(1).await;
        assert_eq!(refusal(&mut other, add_of(1)).await, None);
    }
    server.server.set_limits(None).unwrap();
    let mut ann = client(&server, Encoding::Binary, Some("ann")).await;
    assert_eq!(refusal(&mut ann, add_of(LARGE)).await, None);
}

#[tokio::test]
async fn limits_that_change_are_in_force_on_open_sockets() {
    let server = server(|limits| limits.per_subject.bytes_per_s = 1_000).await;
    let mut ann = client(&server, Encoding::Binary, Some("ann")).await;
    assert_eq!(refusal(&mut ann, add_of(LARGE)).await, None);
    assert!(refusal(&mut ann, add_of(1)).await.is_some());
    server.server.set_limits(None).unwrap();
    assert_eq!(refusal(&mut ann, add_of(1)).await, None, "the defaults");
    let mut none = Limits::default();
    none.per_socket.requests_per_s = 0;
    let invalid = server.server.set_limits(Some(none)).unwrap_err();
    assert!(
        invalid.message().contains("per_socket.requests_per_s = 0"),
        "{invalid}"
    );
}

/// What takes a rate of 1,000 bytes a second more than a minute: no test takes as long.
const LARGE: usize = 100_000;

#[tokio::test]
async fn the_sockets_of_a_subject_share_its_rates() {
    let server = server(|limits| limits.per_subject.bytes_per_s = 1_000).await;
    let mut first = client(&server, Encoding::Binary, Some("ann")).await;
    assert_eq!(refusal(&mut first, add_of(LARGE)).await, None);
    first.close().await;
    let mut second = client(&server, Encoding::Json, Some("ann")).await;
    let refused = refusal(&mut second, add_of(1)).await;
    assert_refused(refused, "this subject send too many bytes");
    let mut other = client(&server, Encoding::Json, Some("bob")).await;
    assert_eq!(refusal(&mut other, add_of(1)).await, None);
}

#[tokio::test]
async fn anonymous_clients_share_the_rates_of_their_address() {
    let server = server(|limits| limits.per_subject.bytes_per_s = 1_000).await;
    let mut first = client(&server, Encoding::Binary, None).await;
    assert_eq!(refusal(&mut first, add_of(LARGE)).await, None);
    first.close().await;
    let mut second = client(&server, Encoding::Binary, None).await;
    assert_refused(refusal(&mut second, add_of(1)).await, "too many bytes");
    let mut ann = client(&server, Encoding::Binary, Some("ann")).await;
    assert_eq!(refusal(&mut ann, add_of(1)).await, None);
}

#[tokio::test]
async fn a_subject_begins_few_dedup_windows_at_once() {
    let server = server(|limits| limits.per_subject.new_windows_per_s = 1).await;
    let mut client = client(&server, Encoding::Binary, Some("ann")).await;
    let first_add = |stream: &'static str| Operation::IdempotentAdd {
        stream: stream.into(),
        fields: vec![("f".into(), "v".into())],
        maxlen: None,
        producer: "p".into(),
        number: 1,
        after: 0,
        resent: false,
    };
    let mut begun = 0;
    let refused = loop {
        match refusal(&mut client, first_add("s")).await {
            Some(fault) if fault.code == "OVERLOADED" => break Some(fault),
            _ => begun += 1,
        }
    };
    assert!(begun >= 5, "{begun}");
    assert_refused(refused, "dedup windows");
    client.send(&[add(2, "s", "v")]).await;
    client.reply_to(2).await.unwrap();
}

#[tokio::test]
async fn a_subject_has_its_sockets_and_no_more() {
    let server = server(|limits| limits.per_subject.sockets = 2).await;
    let hello = |id: &'static str, token: String| {
        let address = server.address;
        async move {
            let mut client = TestClient::connect_silently(address, Encoding::Binary).await;
            client.send(&[tokens::hello_with(id, Some(&token))]).await;
            client
        }
    };
    let ann = token_for("ann", "all", 3_600);
    let mut first = hello("one", ann.clone()).await;
    first.welcome().await;
    let mut second = hello("two", ann.clone()).await;
    second.welcome().await;
    let mut third = hello("three", ann).await;
    let closed = third.closed().await;
    assert_eq!(closed.code, close::OUT_OF_MEMORY);
    assert!(
        closed.reason.contains("too many sockets of this subject"),
        "{closed:?}"
    );
    // A client that comes back needs no second place.
    hello("two", token_for("ann", "all", 3_600))
        .await
        .welcome()
        .await;
    assert_eq!(second.closed().await.code, close::TAKEN_OVER);
    hello("one", token_for("bob", "all", 3_600))
        .await
        .welcome()
        .await;
    first.ping(1).await;
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_refused_at_once() {
    let server = server(|limits| limits.per_address.connections_per_s = 1).await;
    let mut refused = 0;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n";
        // The server may have closed already.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, request).await;
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response).await;
        refused += usize::from(response.is_empty());
    }
    assert!((1..20).contains(&refused), "{refused}");
}
