use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use redis::{RedisError, Value};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use streamgate_backend::memory_budget::{MemoryBudget, MemoryKind};
use streamgate_protocol::CacheResult;
use streamgate_test_support::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::open::start;
use super::{OpenedConnection, PushError, RespConnection};
use crate::connection::endpoint::{ConnectionSettings, Endpoint, RESPONSE_TIMEOUT};
use crate::connection::invalidations::Invalidations;
use crate::wire::commands;
use crate::wire::commands::CommandWriter;
use crate::wire::packing::PackedCommands;

/// Returns a connection, its peer, and a receiver that is ready once the connection is lost.
fn connect() -> (RespConnection, DuplexStream, oneshot::Receiver<()>) {
    let (ours, peer) = tokio::io::duplex(64);
    let (lost, on_lost) = oneshot::channel();
    let report = move || {
        let _ = lost.send(());
    };
    let connection = start(
        ours,
        RESPONSE_TIMEOUT,
        &MemoryBudget::unlimited(),
        None,
        report,
    );
    (connection, peer, on_lost)
}

/// Sends a pipeline, and returns its answers.
fn send(
    connection: &RespConnection,
    packed: PackedCommands,
) -> impl Future<Output = Result<Vec<Value>, RedisError>> + Send + use<> {
    let sent = connection.send(packed, None);
    async move {
        match sent {
            Ok(answers) => answers.await.map(|answers| answers.values),
            Err(PushError::Lost(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn length(stream: &str) -> PackedCommands {
    let mut packed = PackedCommands::default();
    commands::length(&mut packed, stream.as_bytes());
    packed
}

fn length_bytes(stream: &str) -> Vec<u8> {
    length(stream).bytes
}

async fn expect(peer: &mut DuplexStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(read, bytes);
}

#[tokio::test]
async fn pipelines_are_answered_in_the_order_in_which_they_were_sent() {
    let (connection, mut peer, _on_lost) = connect();
    let names: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let sent = names.iter().map(|name| {
        let mut packed = length(name);
        commands::length(&mut packed, name.as_bytes());
        send(&connection, packed)
    });
    let sent: Vec<_> = sent.collect();
    let serve = async {
        for (n, name) in names.iter().enumerate() {
            expect(
                &mut peer,
                &[length_bytes(name), length_bytes(name)].concat(),
            )
            .await;
            let answer = format!(":{n}\r\n-ERR {n}\r\n");
            peer.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let (answers, ()) = futures_util::future::join(join_all(sent), serve).await;
    for (n, answers) in answers.into_iter().enumerate() {
        let answers = answers.unwrap();
        assert_eq!(answers[0], Value::Int(n.try_into().unwrap()));
        assert!(
            matches!(&answers[1], Value::ServerError(e) if e.details() == Some(&n.to_string()))
        );
        assert_eq!(answers.len(), 2);
    }
}

#[tokio::test]
async fn a_connection_closes_after_its_last_answer_once_its_last_handle_is_dropped() {
    let (connection, mut peer, on_lost) = connect();
    let dropped = send(&connection, length("dropped"));
    let awaited = send(&connection, length("awaited"));
    drop((connection, dropped));
    expect(
        &mut peer,
        &[length_bytes("dropped"), length_bytes("awaited")].concat(),
    )
    .await;
    peer.write_all(b":1\r\n:2\r\n").await.unwrap();
    assert_eq!(awaited.await.unwrap(), [Value::Int(2)]);
    assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
    // The connection closed; it was not lost.
    assert!(on_lost.await.is_err());
}

#[tokio::test]
async fn a_lost_connection_fails_every_pipeline_present_and_future() {
    let (connection, peer, on_lost) = connect();
    let waiting = send(&connection, length("s"));
    drop(peer);
    assert!(waiting.await.unwrap_err().is_io_error());
    on_lost.await.unwrap();
    let refused = send(&connection, length("s")).now_or_never().unwrap();
    assert!(refused.is_err());
}

/// Opens a connection to a Redis that answers the sign-in like this, and later commands with
/// `more`.
async fn open_with(answers: String, more: &'static str) -> CacheResult<OpenedConnection> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:secret@{}", listener.local_addr().unwrap());
    let endpoint = Endpoint::new(&url, ConnectionSettings::default()).unwrap();
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        for answers in [&answers, more] {
            while !read.ends_with(b"PING\r\n") {
                if socket.read_buf(&mut read).await.unwrap() == 0 {
                    return;
                }
            }
            read.push(0);
            socket.write_all(answers.as_bytes()).await.unwrap();
        }
        // Reads everything: unread bytes would reset the connection.
        let _ = socket.read_to_end(&mut read).await;
    };
    let invalidations = Some(Arc::new(Invalidations::default()));
    tokio::select! {
        opened = RespConnection::open(&endpoint, invalidations, || ()) => opened,
        () = serve => panic!("the connection closed early"),
    }
}

/// The answers to `EVALSHA`, `EVAL` and `XINFO`, which try what the user may do.
const TRIED: &str = "-NOSCRIPT no\r\n$0\r\n\r\n-ERR no such key\r\n";

/// The same, for the answer to `SCRIPT LOAD`. Redis refuses the client's name and library, and
/// `INFO`.
async fn open_with_script(answer: &str) -> CacheResult<OpenedConnection> {
    let before = format!("%0\r\n{}", "-ERR no\r\n".repeat(4));
    open_with(
        format!("{before}{answer}\r\n{TRIED}+OK\r\n+OK\r\n+PONG\r\n"),
        "",
    )
    .await
}

#[tokio::test]
async fn a_temporary_refusal_of_the_script_is_not_a_refusal() {
    for accepted in [
        "-OOM command not allowed when used memory > 'maxmemory'",
        "$2\r\nab",
    ] {
        let opened = open_with_script(accepted).await.unwrap();
        assert!(opened.facts.dedup_refusal.is_none());
        assert!(opened.facts.tracking_refusal.is_none());
    }
    let refused = open_with_script("-NOPERM no permission").await.unwrap();
    assert_eq!(refused.facts.dedup_refusal.unwrap().code(), "NOPERM");
    let loading = "-LOADING Redis is loading the dataset in memory";
    let error = open_with_script(loading).await.map(drop).unwrap_err();
    assert_eq!(error.code(), "LOADING");
}

/// A server that says like this who it is.
async fn open_as(hello: &str) -> CacheResult<OpenedConnection> {
    let refused = "-ERR unknown command\r\n".repeat(10);
    open_with(format!("{hello}{refused}+PONG\r\n"), "").await
}

#[tokio::test]
async fn a_server_that_serves_no_streams_is_refused_by_what_it_is() {
    for (version, mode, why) in [
        ("6.2.14", "standalone", "6.2.14"),
        ("7.0.15", "sentinel", "Sentinel"),
        ("7.0.15", "cluster", "Cluster"),
    ] {
        let hello = format!(
            "%2\r\n$7\r\nversion\r\n${}\r\n{version}\r\n$4\r\nmode\r\n${}\r\n{mode}\r\n",
            version.len(),
            mode.len()
        );
        let error = open_as(&hello).await.map(drop).unwrap_err();
        assert_eq!(error.code(), "CONFIG");
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.to_string().contains("127.0.0.1:"), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_resp3_is_signed_in_to_by_auth() {
    for refusal in [
        "-NOPROTO unsupported protocol version",
        "-ERR unknown command 'HELLO'",
    ] {
        let first = format!("{refusal}\r\n{}+PONG\r\n", "-NOAUTH no\r\n".repeat(10));
        let opened = open_with(
            first.clone(),
            "+OK\r\n+OK\r\n+OK\r\n+OK\r\n$27\r\nmaxmemory_policy:noeviction\r\n$2\r\nab\r\n\
             -NOSCRIPT no\r\n+\r\n-ERR no such key\r\n+PONG\r\n",
        );
        let facts = opened.await.unwrap().facts;
        assert_eq!(facts.eviction_policy.as_deref(), Some("noeviction"));
        assert_eq!(facts.tracking_refusal.unwrap().code(), "NOPROTO");
        let refused = open_with(
            first,
            "-WRONGPASS no\r\n+OK\r\n+OK\r\n+OK\r\n+info\r\n+ab\r\n\
             -NOSCRIPT no\r\n+\r\n-ERR no such key\r\n+PONG\r\n",
        );
        assert_eq!(refused.await.map(drop).unwrap_err().code(), "WRONGPASS");
    }
}

#[tokio::test]
async fn pushes_are_no_answers_and_are_counted_before_the_first_answer() {
    let (ours, mut peer) = tokio::io::duplex(64);
    let invalidations = Arc::new(Invalidations::default());
    let receiver = Some(Arc::clone(&invalidations));
    let connection = start(
        ours,
        RESPONSE_TIMEOUT,
        &MemoryBudget::unlimited(),
        receiver,
        || (),
    );
    let mut packed = length("s");
    commands::length(&mut packed, b"s");
    let answers = connection.send(packed, None).unwrap();
    let push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\ns\r\n";
    let other = ">2\r\n+other\r\n:1\r\n";
    let bytes = format!("{push}{other}:1\r\n{push}:2\r\n");
    let write = peer.write_all(bytes.as_bytes());
    let (answers, written) = tokio::join!(answers, write);
    written.unwrap();
    let answers = answers.unwrap();
    assert_eq!(answers.values, [Value::Int(1), Value::Int(2)]);
    assert_eq!(answers.last_invalidation, 1);
    assert_eq!(invalidations.last(), 2);
    let batch = invalidations.next().await;
    assert_eq!(batch.streams, HashMap::from([(b"s".to_vec(), 2)]));
}

#[tokio::test]
async fn a_pipeline_counts_until_it_is_answered_though_its_sender_has_gone() {
    let (connection, mut peer, _on_lost) = connect();
    let permits = Arc::new(Semaphore::new(1));
    let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
    let large = Arc::new(Semaphore::new(1));
    let mut packed = length("s");
    packed.permit = Some(Arc::new(Arc::clone(&large).try_acquire_owned().unwrap()));
    drop(connection.send(packed, Some(permit)).unwrap());
    expect(&mut peer, &length_bytes("s")).await;
    assert_eq!(
        (permits.available_permits(), large.available_permits()),
        (0, 0)
    );
    peer.write_all(b":1\r\n").await.unwrap();
    let _permit = permits.acquire().await.unwrap();
    let _large = large.acquire().await.unwrap();
}

#[tokio::test]
async fn too_many_bytes_are_refused() {
    let (connection, _peer, _on_lost) = connect();
    let long = || {
        let mut packed = PackedCommands::default();
        commands::length(&mut packed, &[b's'; 40 * 1024 * 1024]);
        packed
    };
    let _first = connection.send(long(), None).unwrap();
    let _next = connection.send(length("s"), None);
    let refused = connection.send(long(), None).map(drop);
    assert!(matches!(refused, Err(PushError::Full)));
    assert!(connection.send(length("s"), None).is_ok());
}

#[tokio::test]
async fn commands_count_in_the_memory_budget_until_they_are_answered() {
    const LONG: usize = 600 * 1024;
    let memory = MemoryBudget::new(1024 * 1024);
    let (ours, mut peer) = tokio::io::duplex(64 * 1024);
    let connection = start(ours, RESPONSE_TIMEOUT, &memory, None, || ());
    let permits = Arc::new(Semaphore::new(3));
    let send_long = |permit: bool| {
        let mut packed = PackedCommands::default();
        commands::length(&mut packed, &[b's'; LONG]);
        let permit = permit.then(|| Arc::clone(&permits).try_acquire_owned().unwrap());
        connection.send(packed, permit)
    };
    let first = send_long(true).unwrap();
    match send_long(true).map(drop) {
        Err(PushError::NoMemory(error)) => assert_eq!(error.code(), "OVERLOADED"),
        other => panic!("{other:?}"),
    }
    // What keeps the connection going is sent all the same.
    let second = send_long(false).unwrap();
    assert!(memory.used_bytes_of(MemoryKind::Redis) >= 2 * LONG);
    let serve = async {
        let mut read = vec![0; 2 * LONG];
        peer.read_exact(&mut read).await.unwrap();
        peer.write_all(b":1\r\n:2\r\n").await.unwrap();
    };
    let (first, second, ()) = tokio::join!(first, second, serve);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(memory.used_bytes(), 0);

    let lost = send_long(true).unwrap();
    assert!(memory.used_bytes() >= LONG);
    drop(peer);
    assert!(lost.await.is_err());
    assert_eq!(memory.used_bytes(), 0);
}

/// A stream that keeps what is written until it is flushed, as one of TLS may.
#[tokio::test]
async fn what_is_written_is_flushed() {
    let (ours, mut peer) = tokio::io::duplex(64);
    let buffered = tokio::io::BufWriter::new(ours);
    let connection = start(
        buffered,
        RESPONSE_TIMEOUT,
        &MemoryBudget::unlimited(),
        None,
        || (),
    );
    let answers = send(&connection, length("s"));
    expect(&mut peer, &length_bytes("s")).await;
    peer.write_all(b":1\r\n").await.unwrap();
    assert_eq!(answers.await.unwrap(), [Value::Int(1)]);
}

/// TLS takes more than a full socket does. What it has taken arrives without another command.
#[tokio::test]
async fn megabytes_over_tls_arrive_at_a_peer_that_reads_slowly() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["redis.example"]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let parsed = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(parsed(&authority.certificate())).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![parsed(&identity.certificate)], key)
        .unwrap();
    let (ours, peer) = tokio::io::duplex(1024);
    let name = ServerName::try_from("redis.example").unwrap();
    let (ours, peer) = tokio::join!(
        TlsConnector::from(Arc::new(client)).connect(name, ours),
        TlsAcceptor::from(Arc::new(server)).accept(peer),
    );
    let memory = MemoryBudget::unlimited();
    let connection = start(ours.unwrap(), RESPONSE_TIMEOUT, &memory, None, || ());
    let mut peer = peer.unwrap();
    for bytes in [2 * 1024 * 1024, 2 * 1024 * 1024 + 1_000, 100_000] {
        let packed = length(&"s".repeat(bytes));
        let mut read = vec![0; packed.bytes.len()];
        let serve = async {
            peer.read_exact(&mut read).await.unwrap();
            peer.write_all(b":1\r\n").await.unwrap();
            peer.flush().await.unwrap();
        };
        let (answers, ()) = tokio::join!(send(&connection, packed), serve);
        assert_eq!(answers.unwrap(), [Value::Int(1)]);
    }
}

#[tokio::test]
async fn bytes_that_are_not_an_answer_end_the_connection() {
    for nonsense in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b":1\r\n:2\r\n"] {
        let (connection, mut peer, on_lost) = connect();
        let answers = send(&connection, length("s"));
        expect(&mut peer, &length_bytes("s")).await;
        peer.write_all(nonsense).await.unwrap();
        on_lost.await.unwrap();
        // An answer that arrived before the malformed bytes still counts.
        assert_eq!(answers.await.is_ok(), nonsense[0] == b':');
        assert!(send(&connection, length("s")).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn only_silence_while_a_command_is_unanswered_ends_the_connection() {
    let (connection, mut peer, on_lost) = connect();
    // Longer than the time-out, but no command is unanswered.
    tokio::time::sleep(3 * RESPONSE_TIMEOUT).await;
    let answers = send(&connection, length("s"));
    expect(&mut peer, &length_bytes("s")).await;
    // A long answer arrives slowly.
    peer.write_all(b"*3\r\n").await.unwrap();
    for part in [":1\r\n", ":2\r\n", ":3\r\n"] {
        tokio::time::sleep(RESPONSE_TIMEOUT / 2).await;
        peer.write_all(part.as_bytes()).await.unwrap();
    }
    let three = [1, 2, 3].map(Value::Int).to_vec();
    assert_eq!(answers.await.unwrap(), [Value::Array(three)]);

    let begun = Instant::now();
    let silent = send(&connection, length("s"));
    assert!(silent.await.unwrap_err().is_timeout());
    // Tokio's timer has a resolution of one millisecond.
    let late = begun.elapsed() - RESPONSE_TIMEOUT;
    assert!(late <= Duration::from_millis(1), "{late:?}");
    on_lost.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_counts_as_silent() {
    let (connection, _peer, on_lost) = connect();
    let mut packed = PackedCommands::default();
    packed.command("XLEN", 1);
    packed.argument(&[b'x'; 1000]);
    assert!(send(&connection, packed).await.unwrap_err().is_timeout());
    on_lost.await.unwrap();
}

#[test]
fn the_end_of_the_runtime_fails_every_pipeline_present_and_future() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (connection, peer, _on_lost) = first.block_on(async { connect() });
    let waiting = send(&connection, length("s"));
    drop(first);
    let second = runtime();
    assert!(second.block_on(waiting).is_err());
    assert!(second.block_on(send(&connection, length("s"))).is_err());
    drop(peer);
}
