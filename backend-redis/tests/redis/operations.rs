//! What does not wait.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use streamgate_backend::{Backend, Progress};
use streamgate_protocol::{CacheResult, Operation, Reply, StreamingBackend};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::fixture::{Fixture, add, entries, read, read_group, soon, values};

async fn perform(
    streams: &RedisStreams,
    operations: Vec<Operation<'_>>,
) -> Vec<CacheResult<Reply>> {
    let mut results = Vec::new();
    for progress in streams.perform(operations).await {
        assert!(matches!(progress, Progress::Done(_)));
        results.push(progress.finish().await);
    }
    results
}

#[tokio::test]
async fn the_six_operations_on_both_versions() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let streams = &fixture.streams;
        let fields = vec![
            ("a".to_owned(), "1".to_owned()),
            ("a".to_owned(), String::new()),
        ];
        let first = streams.stream_add("s", fields.clone(), None).await.unwrap();
        let second = fixture.add("s", "zwei \u{1f980}\n\0").await;

        let latest = streams.stream_read_latest("s", 1).await.unwrap();
        assert_eq!(
            latest,
            [(
                second.clone(),
                vec![("f".into(), "zwei \u{1f980}\n\0".into())]
            )]
        );
        let all = streams.stream_read("s", "0", 0, None).await.unwrap();
        assert_eq!(all[0], (first.clone(), fields));
        assert_eq!(all.len(), 2);
        assert_eq!(
            streams.stream_read("s", &first, 10, Some(5)).await.unwrap(),
            all[1..]
        );
        assert_eq!(
            streams.stream_read("s", &second, 10, None).await.unwrap(),
            []
        );
        assert_eq!(streams.stream_read_latest("missing", 1).await.unwrap(), []);
        assert_eq!(streams.stream_read_latest("s", 0).await.unwrap(), []);

        streams.stream_create_group("s", "g", "0").await.unwrap();
        let again = streams
            .stream_create_group("s", "g", "0")
            .await
            .unwrap_err();
        assert_eq!(again.code(), "BUSYGROUP");
        assert_eq!(
            streams
                .stream_read_group("s", "g", "c", 1, None)
                .await
                .unwrap(),
            all[..1]
        );
        assert_eq!(
            streams
                .stream_read_group("s", "g", "d", 9, Some(0))
                .await
                .unwrap(),
            all[1..]
        );
        assert_eq!(
            streams
                .stream_read_group("s", "g", "d", 9, None)
                .await
                .unwrap(),
            []
        );
        streams
            .stream_ack("s", "g", std::slice::from_ref(&first))
            .await
            .unwrap();
        streams.stream_ack("s", "g", &[]).await.unwrap();
        assert_eq!(fixture.pending().await, [(second, "d".to_owned())]);
    }
}

#[tokio::test]
async fn an_operation_that_fails_leaves_the_others_of_its_list_alone() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let _: () = fixture.ask("SET string x").await.unwrap();
    let long = "k".repeat(64 * 1024);
    let operations = vec![
        add("s", "1"),
        add("string", "2"),
        read("string", "0", 0, Some(1_000)),
        add(&long, "3"),
        Operation::Add {
            stream: "s".into(),
            fields: Vec::new(),
            maxlen: None,
        },
        Operation::Ack {
            stream: "s".into(),
            group: "g".into(),
            ids: Vec::new(),
        },
        read("s", "nonsense", 0, Some(1_000)),
        read("s", "+", 0, None),
        read_group("s", "missing", "c", 0, Some(1_000)),
        read("s", "0", 0, None),
    ];
    let results = perform(&fixture.streams, operations).await;
    let codes: Vec<&str> = results
        .iter()
        .map(|result| result.as_ref().map_or_else(|e| e.code(), |_| "ok"))
        .collect();
    let expected = [
        "ok",
        "WRONGTYPE",
        "WRONGTYPE",
        "LIMIT",
        "ERR",
        "ok",
        "ERR",
        "ERR",
        "NOGROUP",
        "ok",
    ];
    assert_eq!(codes, expected);
    let (found, _) = entries(results.into_iter().last().unwrap());
    assert_eq!(values(&found), ["1"]);
}

#[tokio::test]
async fn a_list_without_commands_does_not_need_redis() {
    let mut fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture.server.kill().unwrap();
    let ack = Operation::Ack {
        stream: "s".into(),
        group: "g".into(),
        ids: Vec::new(),
    };
    assert_eq!(
        perform(&fixture.streams, vec![ack]).await,
        [Ok(Reply::Done {})]
    );
    assert_eq!(perform(&fixture.streams, Vec::new()).await, []);
}

#[tokio::test]
async fn redis_carries_out_lists_in_the_order_in_which_they_were_first_polled() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let values: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let mut lists: Vec<_> = values
        .iter()
        .rev()
        .map(|n| fixture.streams.perform(vec![add("s", n)]))
        .collect();
    // The order of first polls is the reverse of the order of calls; and more polls than a task's
    // budget has.
    lists.reverse();
    for list in &mut lists {
        assert!(
            pin!(list)
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    soon(futures_util::future::join_all(lists)).await;
    let found = fixture
        .streams
        .stream_read("s", "0", 0, None)
        .await
        .unwrap();
    assert_eq!(crate::fixture::values(&found), values);
}

#[tokio::test]
async fn what_is_not_utf8_is_replaced() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let mut raw = redis::cmd("XADD");
    raw.arg("s").arg("*").arg(b"f\xff").arg(b"v\xfe!");
    let _: String = raw.query_async(&mut fixture.direct.clone()).await.unwrap();
    let expected = [("f\u{fffd}".to_owned(), "v\u{fffd}!".to_owned())];
    let streams = &fixture.streams;
    streams.stream_create_group("s", "g", "0").await.unwrap();
    assert_eq!(
        streams.stream_read("s", "0", 1, None).await.unwrap()[0].1,
        expected
    );
    assert_eq!(
        streams.stream_read_latest("s", 1).await.unwrap()[0].1,
        expected
    );
    assert_eq!(
        streams
            .stream_read_group("s", "g", "c", 1, None)
            .await
            .unwrap()[0]
            .1,
        expected
    );
}

#[tokio::test]
async fn maxlen_trims_and_never_below() {
    let version = RedisVersion::V7_0;
    let server = RedisServer::start_with(version, &["--stream-node-max-entries", "1"]).unwrap();
    let streams = RedisStreams::connect(&server.url()).await.unwrap();
    for n in 0..10 {
        streams
            .stream_add("s", vec![("f".into(), n.to_string())], Some(3))
            .await
            .unwrap();
    }
    let left = streams.stream_read("s", "0", 0, None).await.unwrap();
    assert_eq!(values(&left), ["7", "8", "9"]);
    streams
        .stream_add("s", vec![("f".into(), "x".into())], Some(usize::MAX))
        .await
        .unwrap();
    assert_eq!(
        streams
            .stream_read("s", "0", usize::MAX, None)
            .await
            .unwrap()
            .len(),
        4
    );
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_says_why() {
    let code = async |url: &str| {
        let error = RedisStreams::connect(url).await.expect_err("it connects");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        error.code().to_owned()
    };
    assert_eq!(code("http://127.0.0.1").await, "CONFIG");
    assert_eq!(code("redis://:hunter2@127.0.0.1:port").await, "CONFIG");

    let mut server =
        RedisServer::start_with(RedisVersion::V7_0, &["--requirepass", "right"]).unwrap();
    let port = server.port();
    assert_eq!(code(&format!("redis://127.0.0.1:{port}")).await, "NOAUTH");
    assert_eq!(
        code(&format!("redis://:hunter2@127.0.0.1:{port}")).await,
        "WRONGPASS"
    );
    RedisStreams::connect(&format!("redis://:right@127.0.0.1:{port}"))
        .await
        .unwrap();
    server.kill().unwrap();
    let url = format!("redis://:hunter2@127.0.0.1:{port}");
    assert_eq!(code(&url).await, "DISCONNECTED");
    let error = RedisStreams::connect(&url).await.unwrap_err();
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{port}")),
        "{error}"
    );
}
