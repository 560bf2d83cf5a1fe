//! A Redis with an output buffer limit: it closes a connection whose unread answers exceed it.

use streamgate_protocol::{StreamingBackend, SubscribingBackend, Tail, TailFrom, TailItem};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::fixture::{Fixture, connect_directly, first_position, next, next_error, within_limit};

const MIB: usize = 1024 * 1024;

/// The direct connection receives nothing large, so the limit is for the backend alone.
const LIMIT: [&str; 2] = ["--client-output-buffer-limit", "normal 8mb 8mb 0"];

/// More connections than a tail needs that makes progress, and far fewer than one without pauses.
const MAX_CONNECTIONS: u64 = 14;

async fn start(version: RedisVersion) -> Fixture {
    let server = RedisServer::start_with(version, &LIMIT).unwrap();
    let streams = RedisStreams::connect(&server.url()).await.unwrap();
    let direct = connect_directly(&server).await;
    Fixture {
        server,
        streams,
        direct,
    }
}

/// Adds an entry of which the value has this size.
async fn add_sized(fixture: &Fixture, stream: &str, id: &str, bytes: usize) {
    let mut add = redis::cmd("XADD");
    add.arg(stream).arg(id).arg("f").arg("v".repeat(bytes));
    add.query_async::<()>(&mut fixture.direct.clone())
        .await
        .unwrap();
}

/// Returns how many connections Redis has accepted since it started.
async fn connections_received(fixture: &Fixture) -> u64 {
    let stats: String = fixture.command("INFO stats").await.unwrap();
    let name = "total_connections_received:";
    let line = stats.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().parse().unwrap()
}

/// Returns the ids of the next entries of a tail.
async fn ids(tail: &mut Tail, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        match next(tail).await.unwrap() {
            TailItem::Entries { entries, .. } => found.extend(entries.into_iter().map(|e| e.id)),
            other => panic!("no entries: {other:?}"),
        }
    }
    found
}

/// Adds until a future completes, and checks that every add succeeds.
async fn while_adding<T>(fixture: &Fixture, future: impl Future<Output = T>) -> T {
    let adding = async {
        loop {
            fixture.add("others", "v").await;
        }
    };
    tokio::select! {
        done = within_limit(future) => done,
        never = adding => never,
    }
}

#[tokio::test]
async fn a_tail_reads_entries_of_which_redis_sends_one_at_a_time() {
    for version in RedisVersion::ALL {
        let fixture = start(version).await;
        let all: Vec<String> = (1..=8).map(|n| format!("{n}-0")).collect();
        for id in &all {
            add_sized(&fixture, "s", id, 5 * MIB).await;
        }
        let before = connections_received(&fixture).await;
        let mut tail = fixture.streams.tail("s", TailFrom::Beginning);
        assert_eq!(ids(&mut tail, all.len()).await, all);
        let received = connections_received(&fixture).await - before;
        assert!(received <= MAX_CONNECTIONS, "{received} connections");
        // From now on no tail takes the connection of others with it, wherever it starts.
        let starts = [
            (TailFrom::Beginning, 0),
            (TailFrom::After("6-0".into()), 6),
            (TailFrom::Last(3), 5),
        ];
        for (from, first) in starts {
            let mut tail = fixture.streams.tail("s", from);
            let found = while_adding(&fixture, ids(&mut tail, all.len() - first)).await;
            assert_eq!(found, all[first..]);
        }
        let mut tail = fixture.streams.tail("s", TailFrom::Now);
        while_adding(&fixture, first_position(&mut tail)).await;
    }
}

#[tokio::test]
async fn an_entry_that_redis_never_sends_ends_the_tail_with_an_error_that_names_it() {
    for version in RedisVersion::ALL {
        let fixture = start(version).await;
        for n in 1..=3 {
            add_sized(&fixture, "s", &format!("{n}-0"), 10).await;
        }
        add_sized(&fixture, "s", "4-0", 9 * MIB).await;
        add_sized(&fixture, "s", "5-0", 10).await;
        for round in 0..3 {
            let before = connections_received(&fixture).await;
            let mut tail = fixture.streams.tail("s", TailFrom::Beginning);
            let error = async {
                assert_eq!(ids(&mut tail, 3).await, ["1-0", "2-0", "3-0"]);
                next_error(&mut tail).await
            };
            let error = match round {
                0 => error.await,
                // Others lost their connection once; they do not lose it again.
                _ => while_adding(&fixture, error).await,
            };
            assert_eq!(error.code(), "LIMIT", "{error}");
            assert!(error.message().contains("4-0 of 9437188 bytes"), "{error}");
            let received = connections_received(&fixture).await - before;
            assert!(received <= MAX_CONNECTIONS, "{received} connections");
        }
        let mut tail = fixture.streams.tail("s", TailFrom::After("4-0".into()));
        let found = while_adding(&fixture, ids(&mut tail, 1)).await;
        assert_eq!(found, ["5-0"]);
    }
}

#[tokio::test]
async fn large_entries_that_are_added_later_reach_a_tail_and_spare_the_waits_of_others() {
    for version in RedisVersion::ALL {
        let fixture = start(version).await;
        add_sized(&fixture, "s", "1-0", 10).await;
        let mut tail = fixture.streams.tail("s", TailFrom::Now);
        assert_eq!(first_position(&mut tail).await, "1-0");
        let mut before = connections_received(&fixture).await;
        for n in 2..=9 {
            let id = format!("{n}-0");
            let add = add_sized(&fixture, "s", &id, 5 * MIB);
            let ((), found) = tokio::join!(add, ids(&mut tail, 1));
            assert_eq!(found, [id]);
            if n == 5 {
                let received = connections_received(&fixture).await;
                assert!(
                    received - before <= MAX_CONNECTIONS,
                    "{received} connections"
                );
                before = received;
            }
        }
        let received = connections_received(&fixture).await - before;
        assert_eq!(received, 0, "the hub's connection was closed again");
    }
}

#[tokio::test]
async fn without_scripts_a_tail_ends_after_a_bounded_number_of_connections() {
    for version in RedisVersion::ALL {
        let server = RedisServer::start_with(version, &LIMIT).unwrap();
        let direct = connect_directly(&server).await;
        let user = "ACL SETUSER app on nopass ~* &* +@all -eval -evalsha -script";
        let mut set_user = redis::cmd("ACL");
        set_user.arg(user.split(' ').skip(1).collect::<Vec<_>>());
        set_user
            .query_async::<()>(&mut direct.clone())
            .await
            .unwrap();
        let url = format!("redis://app:any@127.0.0.1:{}", server.port());
        let fixture = Fixture {
            streams: RedisStreams::connect(&url).await.unwrap(),
            direct,
            server,
        };
        for n in 1..=2 {
            add_sized(&fixture, "s", &format!("{n}-0"), 5 * MIB).await;
        }
        let before = connections_received(&fixture).await;
        let error = next_error(&mut fixture.streams.tail("s", TailFrom::Beginning)).await;
        assert_eq!(error.code(), "LIMIT", "{error}");
        assert!(error.message().contains("the entry after 0-0"), "{error}");
        let received = connections_received(&fixture).await - before;
        assert!(received <= MAX_CONNECTIONS, "{received} connections");
        fixture
            .streams
            .stream_add("s", vec![("f".into(), "v".into())], None)
            .await
            .unwrap();
    }
}
