//! Connecting: errors, settings, and how the connections describe themselves.

use std::time::Duration;

use streamgate_backend::Backend;
use streamgate_protocol::EntryOperations;
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::fixture::{Fixture, within_limit};

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
    assert_eq!(code(&format!("redis://127.0.0.1:{port}")).await, "NOAUTH");
    let url = format!("redis://:hunter2@127.0.0.1:{port}");
    assert_eq!(code(&url).await, "WRONGPASS");
    let url = format!("redis://:right@127.0.0.1:{port}");
    RedisStreams::connect(&url).await.unwrap();
    server.kill().unwrap();
    let url = format!("redis://:hunter2@127.0.0.1:{port}");
    assert_eq!(code(&url).await, "DISCONNECTED");
    let error = RedisStreams::connect(&url).await.unwrap_err();
    let address = format!("127.0.0.1:{port}");
    assert!(error.to_string().contains(&address), "{error}");
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
