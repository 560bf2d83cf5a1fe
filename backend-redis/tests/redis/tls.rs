//! Redis over TLS: every connection speaks it, each mistake has its own error, and certificates are
//! read again.

use std::fs;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use streamgate_protocol::{EntryOperations, StreamingBackend, SubscribingBackend, TailFrom};
use streamgate_redis::{HashReader, RedisStreams, RedisStreamsBuilder};
use streamgate_test_support::relay::{Direction, Flow, Relay, Scope};
use streamgate_test_support::{Authority, RedisServer, RedisVersion, TlsIdentity};
use tempfile::TempDir;

use crate::fixture::{
    Fixture, collect, entries, first_position, values, wait_for_availability, within_limit,
};
use crate::idempotent_add::{add_once, perform_one};

/// The files of a client.
struct Files(TempDir);

impl Files {
    fn new(authority: &Authority) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        fs::write(files.path("ca.pem"), authority.certificate()).unwrap();
        files
    }

    fn with_identity(authority: &Authority) -> Self {
        let files = Self::new(authority);
        files.set_identity(&authority.issue(&["client"]).unwrap());
        files
    }

    fn set_identity(&self, identity: &TlsIdentity) {
        fs::write(self.path("cert.pem"), &identity.certificate).unwrap();
        fs::write(self.path("key.pem"), &identity.key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn builder(&self, url: &str) -> RedisStreamsBuilder {
        RedisStreams::builder(url).ca_file(self.path("ca.pem"))
    }

    /// Shows the client certificate, too.
    fn mutual(&self, url: &str) -> RedisStreamsBuilder {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        self.builder(url).client_certificate_files(certificate, key)
    }
}

#[tokio::test]
async fn every_connection_speaks_tls() {
    for is_mutual in [false, true] {
        let authority = Authority::new().unwrap();
        let files = Files::with_identity(&authority);
        let server = RedisServer::start_tls(&authority, is_mutual).unwrap();
        let builder = match is_mutual {
            true => files.mutual(&server.url()),
            false => files.builder(&server.url()),
        };
        builder.validate().unwrap();
        let streams = builder.clone().connect().await.unwrap();
        let fixture = Fixture::of(server, streams).await;
        let streams = &fixture.streams;

        let mut tail = streams.tail("s", TailFrom::Now);
        first_position(&mut tail).await;
        let waiting = fixture.start_read("s", "$", 0).await;
        perform_one(streams, add_once(1, 0, false)).await.unwrap();
        perform_one(streams, add_once(1, 0, true)).await.unwrap();
        assert_eq!(entries(within_limit(waiting.finish()).await).0.len(), 1);
        collect(&mut tail, 1).await;
        // More than a page: the second connection reads it.
        let large = "x".repeat(100_000);
        for _ in 0..20 {
            fixture.add("large", &large).await;
        }
        let found = streams.read_entries("large", "0", 0, None).await.unwrap();
        assert_eq!(values(&found), [large.as_str(); 20]);
        let _: u8 = fixture.command("HSET revoked sub:ann 1").await.unwrap();
        let mut hash = HashReader::new(&builder, "revoked").unwrap();
        let fields = hash.read(9, Duration::from_secs(60)).await.unwrap();
        assert_eq!(fields["sub:ann"], "1");
        // Redis listens for TLS and on its socket alone: these three, and not the direct one.
        let clients: String = fixture.command("CLIENT LIST").await.unwrap();
        assert_eq!(
            clients.matches("addr=127.0.0.1:").count() / 2,
            3,
            "{clients}"
        );
    }
}

/// Returns the error of connecting, which must be one about settings.
async fn config_error(builder: RedisStreamsBuilder) -> String {
    let error = within_limit(builder.connect()).await.unwrap_err();
    assert_eq!(error.code(), "CONFIG", "{error}");
    error.to_string()
}

#[tokio::test]
async fn each_mistake_about_certificates_has_its_own_remedy() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let server = RedisServer::start_tls(&authority, true).unwrap();
    let url = server.url();
    let files = Files::with_identity(&authority);
    let of_other = Files::with_identity(&other);

    let error = config_error(of_other.mutual(&url)).await;
    assert!(error.contains("ca_file"), "{error}");
    let error = config_error(RedisStreams::builder(&url)).await;
    assert!(error.contains("ca_file"), "{error}");
    let error = config_error(files.builder(&url)).await;
    assert!(error.contains("requires a client certificate"), "{error}");
    let mixed = Files::new(&authority);
    mixed.set_identity(&other.issue(&["client"]).unwrap());
    let error = config_error(mixed.mutual(&url)).await;
    assert!(error.contains("refuses the client certificate"), "{error}");
    let address = format!("127.0.0.1:{}", server.port());
    assert!(error.contains(&address), "{error}");

    mixed.set_identity(&TlsIdentity {
        key: other.issue(&["client"]).unwrap().key,
        ..authority.issue(&["client"]).unwrap()
    });
    let error = mixed.mutual(&url).validate().unwrap_err().to_string();
    assert!(error.contains("does not fit its key"), "{error}");
    let connecting = config_error(mixed.mutual(&url)).await;
    assert!(connecting.contains("does not fit its key"), "{connecting}");
    fs::remove_file(mixed.path("key.pem")).unwrap();
    let error = mixed.mutual(&url).validate().unwrap_err().to_string();
    assert!(error.contains("key.pem"), "{error}");

    for (identity, remedy) in [
        (authority.issue(&["redis.example"]), "for another name"),
        (
            authority.issue_for_years(&["127.0.0.1"], 2001..2002),
            "expired",
        ),
    ] {
        let server = RedisServer::start_tls_as(&authority, &identity.unwrap(), false).unwrap();
        let error = config_error(files.builder(&server.url())).await;
        assert!(error.contains(remedy), "{error}");
    }
}

#[tokio::test]
async fn a_port_without_tls_and_a_url_without_it_are_told_apart() {
    let authority = Authority::new().unwrap();
    let files = Files::new(&authority);
    let server = RedisServer::start_tls(&authority, false).unwrap();
    let plain = format!("redis://127.0.0.1:{}", server.port());
    let error = RedisStreams::connect(&plain).await.unwrap_err();
    assert_eq!(error.code(), "DISCONNECTED");
    assert!(error.to_string().contains("rediss://"), "{error}");

    let plain = RedisServer::start(RedisVersion::V7_0).unwrap();
    let url = format!("rediss://127.0.0.1:{}", plain.port());
    let short = files.builder(&url).connect_timeout(Duration::from_secs(1));
    // Redis may take the bytes of TLS for a line that has not ended, and wait.
    let error = within_limit(short.connect()).await.unwrap_err();
    assert!(
        ["DISCONNECTED", "CONFIG"].contains(&error.code()),
        "{error}"
    );
    assert!(error.to_string().contains("redis://"), "{error}");
}

#[tokio::test]
async fn certificates_are_read_again_for_each_connection() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let server = RedisServer::start_tls(&authority, true).unwrap();
    let files = Files::with_identity(&authority);
    let streams = files.mutual(&server.url()).connect().await.unwrap();
    let fixture = Fixture::of(server, streams).await;
    let waiting = fixture.start_read("s", "$", 0).await;

    // The open connection stays.
    files.set_identity(&other.issue(&["client"]).unwrap());
    fixture.add("t", "1").await;
    let _: u8 = fixture.command("CLIENT KILL TYPE normal").await.unwrap();
    wait_for_availability(&fixture.streams, Some("DISCONNECTED")).await;
    files.set_identity(&authority.issue(&["renewed"]).unwrap());
    wait_for_availability(&fixture.streams, None).await;
    fixture.add("s", "2").await;
    assert_eq!(
        values(&entries(within_limit(waiting.finish()).await).0),
        ["2"]
    );
}

/// That TLS keeps nothing back without a next command, a test of the driver shows.
#[tokio::test]
async fn megabytes_to_a_slow_redis_arrive() {
    const BYTES_PER_SECOND: NonZeroU32 = NonZeroU32::new(64 * 1024 * 1024).unwrap();
    let authority = Authority::new().unwrap();
    let server = RedisServer::start_tls(&authority, false).unwrap();
    let target = (Ipv4Addr::LOCALHOST, server.port()).into();
    let relay = Relay::start(target).await.unwrap();
    let url = format!("rediss://{}", relay.address());
    let files = Files::new(&authority);
    let streams = files.builder(&url).connect().await.unwrap();
    let slow = Flow::Slow(BYTES_PER_SECOND);
    relay.set(Scope::All, Direction::ToTarget, slow);
    for round in 0..2 {
        // So many that the buffers of the system are full at the end.
        let value = "x".repeat(2 * 1024 * 1024 + round * 10_000);
        let adds = (0..8).map(|_| {
            let fields = vec![("f".to_owned(), value.clone())];
            streams.stream_add("s", fields, None)
        });
        for added in within_limit(join_all(adds)).await {
            added.unwrap();
        }
    }
}
