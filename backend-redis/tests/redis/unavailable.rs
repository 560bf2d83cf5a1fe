//! An unavailable Redis: the backend reports it, waits and tails survive it and miss nothing, and
//! everything works again afterwards.

use std::net::Ipv4Addr;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use streamgate_backend::{Backend, PerformOptions};
use streamgate_protocol::{
    CacheError, CacheResult, EntryOperations, GapReason, Operation, Reply, Retry, StreamingBackend,
    SubscribingBackend, Tail, TailFrom,
};
use streamgate_redis::RedisStreams;
use streamgate_redis::{PING_EVERY, RESPONSE_TIMEOUT};
use streamgate_test_support::relay::{Cut, Relay};
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::fixture::{
    Fixture, connect_directly, entries, first_position, next_values, read, read_group, timed,
    values, wait_for_availability, within_limit,
};

type Wait<'a> = BoxFuture<'a, CacheResult<Reply>>;

/// A reader, a consumer of the group `g` and a tail that wait for entries of the stream `s`.
struct EveryKindOfWait<'a> {
    reader: Wait<'a>,
    consumer: Wait<'a>,
    tail: Tail,
}

impl<'a> EveryKindOfWait<'a> {
    /// Returns once all of them wait in the hub.
    async fn start(streams: &'a RedisStreams) -> Self {
        streams.stream_create_group("s", "g", "$").await.unwrap();
        let mut tail = streams.tail("s", TailFrom::Now);
        first_position(&mut tail).await;
        assert!(tail.next().now_or_never().is_none(), "it joins the feed");
        let (reader, consumer) = start_waits(streams).await;
        Self {
            reader,
            consumer,
            tail,
        }
    }

    /// Checks that none of them has ended or received anything.
    fn keep_waiting(&mut self) {
        let reader = (&mut self.reader).now_or_never();
        let consumer = (&mut self.consumer).now_or_never();
        let tail = self.tail.next().now_or_never();
        assert_eq!((reader, consumer, tail), (None, None, None));
    }

    /// Checks that each of them receives this value next.
    async fn receive(mut self, value: &str) {
        assert_eq!(values(&entries(within_limit(self.reader).await).0), [value]);
        assert_eq!(
            values(&entries(within_limit(self.consumer).await).0),
            [value]
        );
        assert_eq!(next_values(&mut self.tail).await, [value]);
    }
}

/// Starts a reader and a consumer, and returns once the hub knows both.
async fn start_waits(streams: &RedisStreams) -> (Wait<'_>, Wait<'_>) {
    let operations = vec![
        read("s", "$", 0, Some(0)),
        read_group("s", "g", "c", 1, Some(0)),
        // It ends after the hub has handled the two before it.
        read("other", "$", 1, Some(50)),
    ];
    let mut waits = streams
        .perform(operations, PerformOptions::default())
        .await
        .into_iter();
    let mut next = || waits.next().unwrap().finish().boxed();
    let (reader, consumer) = (next(), next());
    within_limit(next()).await.unwrap();
    (reader, consumer)
}

fn idempotent_add(number: u64, resent: bool) -> Operation<'static> {
    Operation::IdempotentAdd {
        stream: "once".into(),
        fields: vec![("f".into(), number.to_string().into())],
        maxlen: None,
        producer: "p".into(),
        number,
        after: number - 1,
        resent,
    }
}

async fn perform(streams: &RedisStreams, operation: Operation<'_>) -> CacheResult<Reply> {
    let mut progress = streams
        .perform(vec![operation], PerformOptions::default())
        .await;
    within_limit(progress.remove(0).finish()).await
}

async fn add(streams: &RedisStreams, value: &str) -> CacheResult<String> {
    let fields = vec![("f".to_owned(), value.to_owned())];
    within_limit(streams.stream_add("s", fields, None)).await
}

fn is_temporary(error: &CacheError, code: &str) {
    assert_eq!(
        (error.code(), error.retry()),
        (code, Retry::Later),
        "{error}"
    );
}

/// Checks that plain and idempotent adds fail with a temporary error of that code.
async fn adds_are_refused(streams: &RedisStreams, code: &str) {
    is_temporary(&add(streams, "refused").await.unwrap_err(), code);
    is_temporary(
        &perform(streams, idempotent_add(1, false))
            .await
            .unwrap_err(),
        code,
    );
}

/// Checks that reads succeed.
async fn reads_are_answered(streams: &RedisStreams) {
    let latest = within_limit(streams.read_latest_entries("s", 1))
        .await
        .unwrap();
    assert_eq!(values(&latest), ["before"]);
}

/// Checks that a repeated add is stored once.
async fn repeated_adds_are_stored_once(streams: &RedisStreams) {
    let mut first = perform(streams, idempotent_add(1, false)).await;
    if first
        .as_ref()
        .is_err_and(|error| error.code() == "TRYAGAIN")
    {
        // The script was not loaded yet.
        first = perform(streams, idempotent_add(1, true)).await;
    }
    assert_eq!(perform(streams, idempotent_add(1, true)).await, first);
    first.unwrap();
}

#[tokio::test]
async fn a_loading_redis_is_unavailable_and_idempotent_adds_work_afterwards() {
    // A client that may not load scripts is refused that also while Redis loads.
    for may_load in [true, false] {
        for version in RedisVersion::ALL {
            let app = "--user app on nopass ~* &* +@all";
            let script = if may_load { "" } else { " -script|load" };
            // After each key Redis handles commands, and then sleeps for 20 ms.
            let slow = "--key-load-delay 20000 --loading-process-events-interval-bytes 1024";
            let mut fixture = Fixture::with_user(version, &format!("{app}{script} {slow}")).await;
            let mut keys = redis::pipe();
            for key in 0..1_000 {
                keys.set(format!("key-{key}"), "x".repeat(2_000)).ignore();
            }
            let () = keys.query_async(&mut fixture.direct.clone()).await.unwrap();
            let streams = fixture.streams.clone();
            let mut waiting = EveryKindOfWait::start(&streams).await;
            let _: String = fixture.command("SAVE").await.unwrap();
            fixture.server.restart_loading().unwrap();
            wait_for_availability(&fixture.streams, Some("LOADING")).await;
            adds_are_refused(&streams, "LOADING").await;
            let refused = streams.read_latest_entries("s", 1).await.unwrap_err();
            is_temporary(&refused, "LOADING");
            waiting.keep_waiting();
            fixture.direct = connect_directly(&fixture.server).await;
            let _: String = fixture
                .command("CONFIG SET key-load-delay 0")
                .await
                .unwrap();
            wait_for_availability(&fixture.streams, None).await;
            if may_load {
                repeated_adds_are_stored_once(&streams).await;
            }
            add(&streams, "after").await.unwrap();
            waiting.receive("after").await;
        }
    }
}

/// The backend's Redis becomes the replica of its own former replica.
#[tokio::test]
async fn a_replica_refuses_adds_and_answers_reads() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let streams = fixture.streams.clone();
        let other = RedisServer::start(version).unwrap();
        let mut master = connect_directly(&other).await;
        let _: () = redis::cmd("REPLICAOF")
            .arg(&["127.0.0.1", &fixture.server.port().to_string()])
            .query_async(&mut master)
            .await
            .unwrap();
        add(&streams, "before").await.unwrap();
        let mut waiting = EveryKindOfWait::start(&streams).await;
        // The replica has everything up to here.
        let acknowledged =
            async { while fixture.command::<u8>("WAIT 1 100").await.unwrap() == 0 {} };
        within_limit(acknowledged).await;

        let _: () = redis::cmd("REPLICAOF")
            .arg(&["NO", "ONE"])
            .query_async(&mut master)
            .await
            .unwrap();
        let replicate = format!("REPLICAOF 127.0.0.1 {}", other.port());
        let _: () = fixture.command(&replicate).await.unwrap();
        adds_are_refused(&streams, "READONLY").await;
        let read = streams.read_group_entries("s", "g", "d", 1, None);
        is_temporary(&within_limit(read).await.unwrap_err(), "READONLY");
        reads_are_answered(&streams).await;
        waiting.keep_waiting();
        // Entries of the master reach those who only read.
        let _: String = redis::cmd("XADD")
            .arg(&["s", "*", "f", "meanwhile"])
            .query_async(&mut master)
            .await
            .unwrap();
        assert_eq!(next_values(&mut waiting.tail).await, ["meanwhile"]);
        assert_eq!(
            values(&entries(within_limit(waiting.reader).await).0),
            ["meanwhile"]
        );
        assert!((&mut waiting.consumer).now_or_never().is_none());

        let _: () = fixture.command("REPLICAOF NO ONE").await.unwrap();
        assert_eq!(
            values(&entries(within_limit(waiting.consumer).await).0),
            ["meanwhile"]
        );
        repeated_adds_are_stored_once(&streams).await;
        add(&streams, "after").await.unwrap();
        assert_eq!(next_values(&mut waiting.tail).await, ["after"]);
        wait_for_availability(&fixture.streams, None).await;
    }
}

/// The old master keeps its connections, and the waits do not write.
#[tokio::test]
async fn after_a_failover_the_promoted_server_is_found_under_the_same_name() {
    for version in RedisVersion::ALL {
        let mut fixture = Fixture::new(version).await;
        let other = RedisServer::start(version).unwrap();
        let relay = Relay::start((Ipv4Addr::LOCALHOST, fixture.server.port()).into());
        let relay = relay.await.unwrap();
        let url = format!("redis://{}", relay.address());
        fixture.streams = RedisStreams::connect(&url).await.unwrap();
        let streams = fixture.streams.clone();
        let mut master = connect_directly(&other).await;
        let mut ask = async |command: &str| -> redis::Value {
            let mut words = command.split(' ');
            let mut cmd = redis::cmd(words.next().unwrap());
            cmd.arg(words.collect::<Vec<_>>());
            cmd.query_async(&mut master).await.unwrap()
        };
        ask(&format!("REPLICAOF 127.0.0.1 {}", fixture.server.port())).await;
        add(&streams, "before").await.unwrap();
        let mut waiting = EveryKindOfWait::start(&streams).await;
        let acknowledged =
            async { while fixture.command::<u8>("WAIT 1 100").await.unwrap() == 0 {} };
        within_limit(acknowledged).await;
        ask("REPLICAOF NO ONE").await;
        let replicate = format!("REPLICAOF 127.0.0.1 {}", other.port());
        let _: () = fixture.command(&replicate).await.unwrap();
        relay.set_target((Ipv4Addr::LOCALHOST, other.port()).into());
        waiting.keep_waiting();
        // The entry reaches the replica, too, where a group cannot be read.
        ask("XADD s * f meanwhile").await;
        waiting.receive("meanwhile").await;
        repeated_adds_are_stored_once(&streams).await;
        add(&streams, "after").await.unwrap();
        wait_for_availability(&streams, None).await;
    }
}

#[tokio::test]
async fn a_redis_without_memory_refuses_adds_and_answers_reads() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let streams = fixture.streams.clone();
        add(&streams, "before").await.unwrap();
        let mut waiting = EveryKindOfWait::start(&streams).await;
        let _: () = fixture.command("CONFIG SET maxmemory 1").await.unwrap();
        adds_are_refused(&streams, "OOM").await;
        let create = streams.stream_create_group("s", "h", "$");
        is_temporary(&within_limit(create).await.unwrap_err(), "OOM");
        reads_are_answered(&streams).await;
        // New connections see the same.
        let _: u8 = fixture
            .command("CLIENT KILL TYPE normal SKIPME yes")
            .await
            .unwrap();
        wait_for_availability(&fixture.streams, Some("DISCONNECTED")).await;
        wait_for_availability(&fixture.streams, None).await;
        adds_are_refused(&streams, "OOM").await;
        reads_are_answered(&streams).await;
        waiting.keep_waiting();
        let _: () = fixture.command("CONFIG SET maxmemory 0").await.unwrap();
        repeated_adds_are_stored_once(&streams).await;
        add(&streams, "after").await.unwrap();
        waiting.receive("after").await;
    }
}

#[tokio::test]
async fn a_redis_that_restarts_empty_ends_group_waits_and_reports_a_gap() {
    for version in RedisVersion::ALL {
        let mut fixture = Fixture::new(version).await;
        let streams = fixture.streams.clone();
        let _: String = fixture.command("XADD s 5-0 f before").await.unwrap();
        let mut waiting = EveryKindOfWait::start(&streams).await;
        fixture.server.kill().unwrap();
        wait_for_availability(&fixture.streams, Some("DISCONNECTED")).await;
        is_temporary(&add(&streams, "away").await.unwrap_err(), "DISCONNECTED");
        waiting.keep_waiting();
        fixture.server.restart().unwrap();
        wait_for_availability(&fixture.streams, None).await;
        fixture.direct = connect_directly(&fixture.server).await;
        let lost = within_limit(waiting.consumer).await.unwrap_err();
        assert_eq!((lost.code(), lost.retry()), ("NOGROUP", Retry::Never));
        // Ids start anew. A reader waits for greater ids than its own, as in Redis; a tail reports
        // a gap and yields every entry.
        let _: String = fixture.command("XADD s 1-0 f smaller").await.unwrap();
        let gap = crate::fixture::next_gap(&mut waiting.tail).await;
        assert_eq!((gap.reason, &*gap.after), (GapReason::Recreated, "5-0"));
        let mut tailed = next_values(&mut waiting.tail).await;
        let _: String = fixture.command("XADD s 6-0 f greater").await.unwrap();
        if tailed.len() < 2 {
            tailed.extend(next_values(&mut waiting.tail).await);
        }
        assert_eq!(tailed, ["smaller", "greater"]);
        assert_eq!(
            values(&entries(within_limit(waiting.reader).await).0),
            ["greater"]
        );
        repeated_adds_are_stored_once(&streams).await;
    }
}

/// Locks the backend out with some commands, and lets it in again with another.
async fn is_locked_out(fixture: Fixture, lock: &[&str], unlock: &str, code: &str) {
    let streams = fixture.streams.clone();
    let mut waiting = EveryKindOfWait::start(&streams).await;
    for command in lock {
        let _: redis::Value = fixture.command(command).await.unwrap();
    }
    wait_for_availability(&fixture.streams, Some(code)).await;
    // The backend needs another password; for a caller Redis is temporarily unavailable.
    adds_are_refused(&streams, "DISCONNECTED").await;
    let _: String = fixture.command("XADD s * f meanwhile").await.unwrap();
    waiting.keep_waiting();
    let _: redis::Value = fixture.command(unlock).await.unwrap();
    wait_for_availability(&fixture.streams, None).await;
    repeated_adds_are_stored_once(&streams).await;
    waiting.receive("meanwhile").await;
}

#[tokio::test]
async fn a_changed_password_makes_redis_unavailable_until_it_is_restored() {
    for version in RedisVersion::ALL {
        let app = "--user app on >any ~* &* +@all";
        let lock = ["ACL SETUSER app resetpass >other", "CLIENT KILL USER app"];
        let fixture = Fixture::with_user(version, app).await;
        is_locked_out(fixture, &lock, "ACL SETUSER app >any", "WRONGPASS").await;
        let lock = [
            "CONFIG SET requirepass other",
            "CLIENT KILL TYPE normal SKIPME yes",
        ];
        let fixture = Fixture::new(version).await;
        // The direct connection is signed in already.
        let unlock = "ACL SETUSER default nopass";
        is_locked_out(fixture, &lock, unlock, "NOAUTH").await;
    }
}

#[tokio::test]
async fn entries_added_while_the_backend_is_locked_out_reach_everybody() {
    for version in RedisVersion::ALL {
        let app = "--user app on nopass ~* &* +@all";
        let fixture = Fixture::with_user(version, app).await;
        let streams = fixture.streams.clone();
        let mut waiting = EveryKindOfWait::start(&streams).await;
        for round in 0..2 {
            let lock = ["ACL SETUSER app off", "CLIENT KILL USER app"];
            for command in lock {
                let _: redis::Value = fixture.command(command).await.unwrap();
            }
            wait_for_availability(&fixture.streams, Some("WRONGPASS")).await;
            waiting.keep_waiting();
            let added: Vec<String> = (0..20).map(|n| format!("{round}-{n}")).collect();
            for value in &added {
                let _: String = fixture
                    .command(&format!("XADD s * f {value}"))
                    .await
                    .unwrap();
            }
            let _: redis::Value = fixture.command("ACL SETUSER app on").await.unwrap();
            assert_eq!(
                values(&entries(within_limit(waiting.reader).await).0),
                added
            );
            let mut tailed = Vec::new();
            while tailed.len() < added.len() {
                tailed.extend(next_values(&mut waiting.tail).await);
            }
            assert_eq!(tailed, added);
            // The hub may have reconnected before the connection for commands.
            wait_for_availability(&fixture.streams, None).await;
            let mut consumed = values(&entries(within_limit(waiting.consumer).await).0).len();
            while consumed < added.len() {
                let rest = streams.read_group_entries("s", "g", "c", 0, Some(0));
                let rest = within_limit(rest).await.unwrap();
                assert_eq!(values(&rest), added[consumed..]);
                consumed += rest.len();
            }
            (waiting.reader, waiting.consumer) = start_waits(&streams).await;
        }
    }
}

/// No command is unanswered, so only a ping can notice it.
#[tokio::test]
async fn an_idle_backend_notices_a_hanging_redis() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        fixture.server.pause().unwrap();
        let ((), took) = timed(wait_for_availability(
            &fixture.streams,
            Some("DISCONNECTED"),
        ))
        .await;
        let limit = PING_EVERY + RESPONSE_TIMEOUT;
        assert!(took < limit.as_millis() + 1_000, "{took}");
        fixture.server.resume().unwrap();
        wait_for_availability(&fixture.streams, None).await;
    }
}

#[tokio::test]
async fn a_busy_redis_is_unavailable_and_keeps_tracking_and_scripts() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let relay = Relay::start((Ipv4Addr::LOCALHOST, fixture.server.port()).into());
        let relay = relay.await.unwrap();
        let url = format!("redis://{}", relay.address());
        let streams = RedisStreams::connect(&url).await.unwrap();
        streams.stream_create_group("s", "g", "$").await.unwrap();
        // No consumer: a group read under way has an unknown outcome when its connection ends.
        let (mut reader, _) = start_waits(&streams).await;
        let _: () = fixture
            .command("CONFIG SET lua-time-limit 1")
            .await
            .unwrap();
        let mut script = connect_directly(&fixture.server).await;
        let mut endless = redis::cmd("EVAL");
        endless.arg("while true do end").arg(0);
        let running = endless.query_async::<()>(&mut script);
        let meanwhile = async {
            wait_for_availability(&streams, Some("BUSY")).await;
            adds_are_refused(&streams, "BUSY").await;
            let before = relay.counts().accepted;
            assert_eq!(relay.cut(Cut::Reset), 1);
            // The backend has tried again.
            let tried = relay.until(|counts| counts.accepted >= before + 2);
            tried.await.unwrap();
            adds_are_refused(&streams, "BUSY").await;
            assert!((&mut reader).now_or_never().is_none());
            let _: () = fixture.command("SCRIPT KILL").await.unwrap();
        };
        let (killed, ()) = tokio::join!(running, meanwhile);
        assert!(killed.is_err());
        wait_for_availability(&streams, None).await;
        repeated_adds_are_stored_once(&streams).await;
        add(&streams, "after").await.unwrap();
        assert_eq!(values(&entries(within_limit(reader).await).0), ["after"]);
        let clients: String = fixture.command("CLIENT LIST").await.unwrap();
        // Those of the fixture's backend, and of this one.
        assert_eq!(clients.matches("flags=t").count(), 2, "{clients}");
    }
}
