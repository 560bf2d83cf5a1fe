//! Connecting: errors, settings, and how the connections describe themselves.

use std::time::Duration;

use futures_util::StreamExt;
use streamgate_backend::Backend;
use streamgate_protocol::{EntryOperations, StreamingBackend, SubscribingBackend, TailFrom};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::fixture::{Fixture, first_position, next_values, wait_for_availability, within_limit};

#[tokio::test]
async fn a_failed_connection_says_why_and_repeats_no_password() {
    let code = async |url: &str| {
        let connected = RedisStreams::connect(url).await;
        let error = connected.expect_err("it connects");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        error.code().to_owned()
    };
    assert_eq!(code("http://127.0.0.1").await, "CONFIG");
    assert_eq!(code("redis://:hunter2@127.0.0.1:port").await, "CONFIG");

    let config = ["--requirepass", "right"];
    let mut server = RedisServer::start_with(RedisVersion::V7_0, &config).unwrap();
    let port = server.port();
    assert_eq!(code(&format!("redis://127.0.0.1:{port}")).await, "CONFIG");
    let url = format!("redis://:hunter2@127.0.0.1:{port}");
    assert_eq!(code(&url).await, "CONFIG");
    let url = format!("redis://:right@127.0.0.1:{port}");
    RedisStreams::connect(&url).await.unwrap();
    server.kill().unwrap();
    let url = format!("redis://:hunter2@127.0.0.1:{port}");
    assert_eq!(code(&url).await, "DISCONNECTED");
    let error = RedisStreams::connect(&url).await.unwrap_err();
    let address = format!("127.0.0.1:{port}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn what_no_waiting_mends_says_what_to_do() {
    let mistake = async |url: &str| {
        let error = RedisStreams::connect(url).await.unwrap_err();
        assert_eq!(error.code(), "CONFIG", "{error}");
        let lazy = RedisStreams::builder(url).connect_lazily().await;
        assert_eq!(lazy.unwrap_err(), error);
        error.to_string()
    };
    for version in RedisVersion::ALL {
        let user = "--user app on >right -@all +ping +hello";
        let config: Vec<_> = user.split(' ').chain(["--requirepass", "right"]).collect();
        let server = RedisServer::start_with(version, &config).unwrap();
        let port = server.port();
        for (sign_in, database, remedy) in [
            ("", "", "it requires a password"),
            (":wrong@", "", "refuses the user name or the password"),
            ("nobody:right@", "", "refuses the user name or the password"),
            ("app:right@", "/1", "ACL SETUSER"),
            (":right@", "/99", "such as its database"),
        ] {
            let error = mistake(&format!("redis://{sign_in}127.0.0.1:{port}{database}")).await;
            assert!(error.contains(remedy), "{error}");
            assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
        }
        let cluster = RedisServer::start_with(version, &["--cluster-enabled", "yes"]).unwrap();
        let error = mistake(&cluster.url()).await;
        assert!(error.contains("Redis Cluster"), "{error}");
    }
}

#[tokio::test]
async fn a_sentinel_is_refused() {
    for version in RedisVersion::ALL {
        let server = RedisServer::start_sentinel(version, "").unwrap();
        let error = RedisStreams::connect(&server.url()).await.unwrap_err();
        assert_eq!(error.code(), "CONFIG");
        assert!(error.to_string().contains("it is a Sentinel"), "{error}");
    }
}

#[tokio::test]
async fn a_backend_can_start_before_its_redis() {
    for version in RedisVersion::ALL {
        let mut server = RedisServer::start(version).unwrap();
        server.kill().unwrap();
        let builder = RedisStreams::builder(&server.url());
        let streams = builder.connect_lazily().await.unwrap();
        wait_for_availability(&streams, Some("DISCONNECTED")).await;
        let add = || streams.stream_add("s", vec![("f".into(), "v".into())], None);
        assert_eq!(add().await.unwrap_err().code(), "DISCONNECTED");
        let mut tail = streams.tail("s", TailFrom::Beginning);
        let refused = within_limit(tail.next()).await.unwrap();
        assert_eq!(refused.unwrap_err().code(), "DISCONNECTED");
        server.restart().unwrap();
        wait_for_availability(&streams, None).await;
        let mut tail = streams.tail("s", TailFrom::Now);
        first_position(&mut tail).await;
        add().await.unwrap();
        assert_eq!(next_values(&mut tail).await, ["v"]);
    }
}

/// Returns how often `CLIENT LIST` of the fixture's Redis contains a text.
async fn count_in_client_list(fixture: &Fixture, text: &str) -> usize {
    let list: String = fixture.command("CLIENT LIST").await.unwrap();
    list.matches(text).count()
}

#[tokio::test]
async fn the_connection_has_the_clients_name_and_library() {
    for version in RedisVersion::ALL {
        let mut fixture = Fixture::new(version).await;
        assert_eq!(count_in_client_list(&fixture, " name=streamgate ").await, 1);
        let builder = RedisStreams::builder(&fixture.server.url());
        fixture.streams = builder.client_name("orders").connect().await.unwrap();
        assert_eq!(count_in_client_list(&fixture, " name=orders ").await, 1);
        if version == RedisVersion::V8_2 {
            let library = format!("lib-name=streamgate lib-ver={}", env!("CARGO_PKG_VERSION"));
            let named = count_in_client_list(&fixture, &library).await;
            // The connection of the fixture's first backend may be closing still.
            assert!((1..=2).contains(&named), "{named}");
        }
    }
}

#[tokio::test]
async fn a_redis_that_refuses_the_clients_name_is_used_without() {
    let user = "--user app on nopass ~* &* +@all -client|setname";
    for version in RedisVersion::ALL {
        // Redis 7.0 does not know the command, and refuses a rule about it.
        let more = match version {
            RedisVersion::V7_0 => "",
            _ => " -client|setinfo",
        };
        let fixture = Fixture::with_user(version, &format!("{user}{more}")).await;
        assert_eq!(count_in_client_list(&fixture, " name=streamgate ").await, 0);
        fixture.add("s", "1").await;
    }
}

#[tokio::test]
async fn the_response_timeout_can_be_set() {
    let server = RedisServer::start(RedisVersion::V7_0).unwrap();
    let builder = RedisStreams::builder(&server.url());
    let builder = builder.response_timeout(Duration::from_millis(200));
    let streams = builder.connect().await.unwrap();
    server.pause().unwrap();
    let read = within_limit(streams.read_latest_entries("s", 1)).await;
    assert_eq!(read.unwrap_err().code(), "TIMEOUT");
    server.resume().unwrap();
    let mut availability = streams.availability().unwrap();
    let available = availability.wait_for(Option::is_none);
    drop(within_limit(available).await.unwrap());
}
