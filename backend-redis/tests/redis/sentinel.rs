//! A master that Sentinels watch: it is found, and followed when it changes.

use std::time::Duration;

use streamgate_protocol::{CacheResult, EntryOperations, StreamingBackend};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion, SentinelDeployment};

use crate::fixture::{connect_directly, values, within_limit};

/// Longest wait for a failover, on a busy machine too. Catches hangs.
const FAILOVER_LIMIT: Duration = Duration::from_secs(120);

/// Pause between two looks at what only a question tells.
const LOOK_EVERY: Duration = Duration::from_millis(50);

async fn add(streams: &RedisStreams, value: &str) -> CacheResult<String> {
    let fields = vec![("f".to_owned(), value.to_owned())];
    streams.stream_add("s", fields, None).await
}

/// Adds again and again until that succeeds.
async fn add_after_failover(streams: &RedisStreams, value: &str) -> String {
    let adding = async {
        loop {
            // An add may wait for a master that answers nothing.
            let limit = Duration::from_secs(1);
            if let Ok(Ok(id)) = tokio::time::timeout(limit, add(streams, value)).await {
                return id;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let added = tokio::time::timeout(FAILOVER_LIMIT, adding).await;
    added.expect("no master takes an add")
}

/// Sends a command on a connection of its own: a failover closes those that are open.
async fn command<T: redis::FromRedisValue>(server: &RedisServer, command: &str) -> T {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        cmd.arg(word);
    });
    let mut connection = connect_directly(server).await;
    cmd.query_async(&mut connection).await.unwrap()
}

/// Waits until a replica has its master's entries.
async fn replicated(replica: &RedisServer, entries: u64) {
    within_limit(async {
        while command::<u64>(replica, "XLEN s").await < entries {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

async fn is_master(server: &RedisServer) -> bool {
    let role: Vec<redis::Value> = command(server, "ROLE").await;
    role[0] == redis::Value::BulkString(b"master".to_vec())
}

#[tokio::test]
async fn a_killed_master_is_replaced_and_gets_no_write_when_it_is_back() {
    for version in RedisVersion::ALL {
        let mut deployment = SentinelDeployment::start(version).unwrap();
        let streams = RedisStreams::connect(&deployment.url()).await.unwrap();
        let before = add(&streams, "before").await.unwrap();
        replicated(&deployment.servers[1], 1).await;

        let reader = streams.clone();
        let waiting = reader.read_entries("s", "$", 0, Some(0));
        let failing_over = async {
            // After this the hub knows the wait.
            let other = streams.read_entries("nobody adds to this", "$", 0, Some(50));
            other.await.unwrap();
            deployment.servers[0].kill().unwrap();
            add_after_failover(&streams, "after").await
        };
        let (waited, first) = tokio::join!(waiting, failing_over);
        assert_eq!(values(&waited.unwrap())[0], "after");

        // For some seconds the old master takes itself for the master.
        let [old, promoted] = &mut deployment.servers;
        old.restart().unwrap();
        while !is_master(old).await {
            old.restart().unwrap();
        }
        let mut added = vec![before, first];
        for number in 0..10 {
            // Each time the backend has to find the master again.
            let _: u64 = command(promoted, "CLIENT KILL TYPE normal SKIPME yes").await;
            added.push(add_after_failover(&streams, &number.to_string()).await);
        }
        let entries = streams.read_entries("s", "0", 0, None).await.unwrap();
        let ids: Vec<_> = entries.iter().map(|entry| &entry.id).collect();
        for id in &added {
            assert!(ids.contains(&id), "{id} is lost");
        }
    }
}

#[tokio::test]
async fn a_master_that_answers_nothing_is_left_for_the_one_that_the_sentinels_name() {
    let deployment = SentinelDeployment::start(RedisVersion::V7_0).unwrap();
    // Only the Sentinels tell: this time-out never ends.
    let streams = RedisStreams::builder(&deployment.url())
        .response_timeout(FAILOVER_LIMIT * 2)
        .connect()
        .await
        .unwrap();
    add(&streams, "before").await.unwrap();
    replicated(&deployment.servers[1], 1).await;
    deployment.servers[0].pause().unwrap();
    add_after_failover(&streams, "after").await;
    let entries = streams.read_latest_entries("s", 1).await.unwrap();
    assert_eq!(values(&entries), ["after"]);
    assert!(command::<u64>(&deployment.servers[1], "XLEN s").await >= 2);
    deployment.servers[0].resume().unwrap();
}

#[tokio::test]
async fn a_failover_by_command_is_followed() {
    let deployment = SentinelDeployment::start(RedisVersion::V8_2).unwrap();
    let streams = RedisStreams::connect(&deployment.url()).await.unwrap();
    add(&streams, "before").await.unwrap();
    replicated(&deployment.servers[1], 1).await;
    let _: String = command(&deployment.sentinels[0], "SENTINEL FAILOVER orders").await;
    within_limit(async {
        // Until the old master is a replica, it takes writes and loses them.
        let [old, promoted] = &deployment.servers;
        while is_master(old).await || !is_master(promoted).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    let id = add_after_failover(&streams, "after").await;
    // The old master would have taken it too, and lost it as a replica.
    let found: redis::Value = command(&deployment.servers[1], &format!("XRANGE s {id} {id}")).await;
    assert!(matches!(found, redis::Value::Array(rows) if rows.len() == 1));
}

#[tokio::test]
async fn one_sentinel_is_enough_and_mistakes_are_named() {
    let mut deployment =
        SentinelDeployment::start_with(RedisVersion::V7_0, "requirepass secret").unwrap();
    let sign_in = "?sentinel_pass=secret";
    let url = deployment.url();
    let mistake = async |url: &str| {
        let error = RedisStreams::connect(url).await.unwrap_err();
        assert_eq!(error.code(), "CONFIG", "{error}");
        error.to_string()
    };
    let error = mistake(&url).await;
    assert!(
        error.contains("?sentinel_user=…&sentinel_pass=…"),
        "{error}"
    );
    let error = mistake(&format!("{url}?sentinel_pass=wrong")).await;
    assert!(error.contains("invalid username-password pair"), "{error}");
    let other = url.replace("/orders", "/carts");
    let error = mistake(&format!("{other}{sign_in}")).await;
    assert!(error.contains("watches no master named 'carts'"), "{error}");
    let plain = RedisServer::start(RedisVersion::V7_0).unwrap();
    let error = mistake(&format!(
        "redis+sentinel://127.0.0.1:{}/orders",
        plain.port()
    ))
    .await;
    assert!(error.contains("it is not a Sentinel"), "{error}");

    for sentinel in &mut deployment.sentinels[1..] {
        sentinel.kill().unwrap();
    }
    let streams = RedisStreams::connect(&format!("{url}{sign_in}"))
        .await
        .unwrap();
    add(&streams, "v").await.unwrap();
    deployment.sentinels[0].kill().unwrap();
    let error = RedisStreams::connect(&format!("{url}{sign_in}"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "DISCONNECTED", "{error}");
    // Who is connected needs them for the next connection only.
    add(&streams, "v").await.unwrap();
}
