//! Redis goes away: it is told of, what waits goes on and misses nothing, and all works again when Redis
//! is back.

use std::net::Ipv4Addr;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use streamgate_backend::Backend;
use streamgate_protocol::{
    CacheError, CacheResult, Operation, Reply, Retry, StreamingBackend, SubscribingBackend, Tail,
    TailFrom,
};
use streamgate_redis::RedisStreams;
use streamgate_redis::{PING_EVERY, RESPONSE_TIMEOUT};
use streamgate_test_support::relay::{Cut, Relay};
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::fixture::{
    Fixture, direct, entries, next_values, read, read_group, soon, standing, timed, until_away,
    values,
};

type Wait<'a> = BoxFuture<'a, CacheResult<Reply>>;

/// Who waits for something to be added to the stream `s`: a reader, a consumer of the group `g`, and
/// a tail.
struct Waiting<'a> {
    reader: Wait<'a>,
    consumer: Wait<'a>,
    tail: Tail,
}

impl<'a> Waiting<'a> {
    /// Returns when Redis knows of all.
    async fn start(streams: &'a RedisStreams) -> Self {
        streams.stream_create_group("s", "g", "$").await.unwrap();
        let mut tail = streams.tail("s", TailFrom::Now);
        standing(&mut tail).await;
        assert!(tail.next().now_or_never().is_none(), "it joins");
        let (reader, consumer) = waits(streams).await;
        Self {
            reader,
            consumer,
            tail,
        }
    }

    /// Fails if one of them has ended, or was given anything.
    fn goes_on(&mut self) {
        let reader = (&mut self.reader).now_or_never();
        let consumer = (&mut self.consumer).now_or_never();
        let tail = self.tail.next().now_or_never();
        assert_eq!((reader, consumer, tail), (None, None, None));
    }

    /// Fails if one of them is not given this, and nothing before it.
    async fn given(mut self, value: &str) {
        assert_eq!(values(&entries(soon(self.reader).await).0), [value]);
        assert_eq!(values(&entries(soon(self.consumer).await).0), [value]);
        assert_eq!(next_values(&mut self.tail).await, [value]);
    }
}

/// A reader and a consumer.
async fn waits(streams: &RedisStreams) -> (Wait<'_>, Wait<'_>) {
    let operations = vec![
        read("s", "$", 0, Some(0)),
        read_group("s", "g", "c", 1, Some(0)),
        // Ends once the hub has handled all that came before it.
        read("other", "$", 1, Some(50)),
    ];
    let mut waits = streams.perform(operations).await.into_iter();
    let mut next = || waits.next().unwrap().finish().boxed();
    let (reader, consumer) = (next(), next());
    soon(next()).await.unwrap();
    (reader, consumer)
}

fn once(number: u64, again: bool) -> Operation<'static> {
    Operation::AddOnce {
        stream: "once".into(),
        fields: vec![("f".into(), number.to_string().into())],
        maxlen: None,
        producer: "p".into(),
        number,
        after: number - 1,
        again,
    }
}

async fn perform(streams: &RedisStreams, operation: Operation<'_>) -> CacheResult<Reply> {
    let mut progress = streams.perform(vec![operation]).await;
    soon(progress.remove(0).finish()).await
}

async fn add(streams: &RedisStreams, value: &str) -> CacheResult<String> {
    let fields = vec![("f".to_owned(), value.to_owned())];
    soon(streams.stream_add("s", fields, None)).await
}

fn is_told(error: &CacheError, code: &str) {
    assert_eq!(
        (error.code(), error.retry()),
        (code, Retry::Later),
        "{error}"
    );
}

/// Fails unless an add is refused for that reason, plain or once, and may be made again later.
async fn adds_are_refused(streams: &RedisStreams, code: &str) {
    is_told(&add(streams, "refused").await.unwrap_err(), code);
    is_told(&perform(streams, once(1, false)).await.unwrap_err(), code);
}

/// Fails unless a read is answered.
async fn reads_are_answered(streams: &RedisStreams) {
    let latest = soon(streams.stream_read_latest("s", 1)).await.unwrap();
    assert_eq!(values(&latest), ["before"]);
}

/// Fails unless an add that is asked for again is not done again.
async fn adds_are_done_once(streams: &RedisStreams) {
    let mut first = perform(streams, once(1, false)).await;
    if first
        .as_ref()
        .is_err_and(|error| error.code() == "TRYAGAIN")
    {
        // Redis did not know the script yet.
        first = perform(streams, once(1, true)).await;
    }
    assert_eq!(perform(streams, once(1, true)).await, first);
    first.unwrap();
}

#[tokio::test]
async fn a_redis_that_loads_is_away_and_afterwards_adds_are_done_once_again() {
    // Who may not load scripts is refused that also by a Redis that loads.
    for may_load in [true, false] {
        for version in RedisVersion::ALL {
            let bob = "--user bob on nopass ~* &* +@all";
            let script = if may_load { "" } else { " -script|load" };
            // It looks whether it is asked anything behind each key, and then sleeps for 20 ms.
            let slow = "--key-load-delay 20000 --loading-process-events-interval-bytes 1024";
            let mut fixture = Fixture::as_bob(version, &format!("{bob}{script} {slow}")).await;
            let mut keys = redis::pipe();
            for key in 0..1_000 {
                keys.set(format!("key-{key}"), "x".repeat(2_000)).ignore();
            }
            let () = keys.query_async(&mut fixture.direct.clone()).await.unwrap();
            let streams = fixture.streams.clone();
            let mut waiting = Waiting::start(&streams).await;
            let _: String = fixture.ask("SAVE").await.unwrap();
            fixture.server.restart_loading().unwrap();
            until_away(&fixture.streams, Some("LOADING")).await;
            adds_are_refused(&streams, "LOADING").await;
            let refused = streams.stream_read_latest("s", 1).await.unwrap_err();
            is_told(&refused, "LOADING");
            waiting.goes_on();
            fixture.direct = direct(&fixture.server).await;
            let _: String = fixture.ask("CONFIG SET key-load-delay 0").await.unwrap();
            until_away(&fixture.streams, None).await;
            if may_load {
                adds_are_done_once(&streams).await;
            }
            add(&streams, "after").await.unwrap();
            waiting.given("after").await;
        }
    }
}

/// Two connections of the proxy's, and its Redis that becomes a replica of the one that was its own.
#[tokio::test]
async fn a_redis_that_has_become_a_replica_refuses_adds_and_answers_reads() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let streams = fixture.streams.clone();
        let other = RedisServer::start(version).unwrap();
        let mut master = direct(&other).await;
        let _: () = redis::cmd("REPLICAOF")
            .arg(&["127.0.0.1", &fixture.server.port().to_string()])
            .query_async(&mut master)
            .await
            .unwrap();
        add(&streams, "before").await.unwrap();
        let mut waiting = Waiting::start(&streams).await;
        // Up to here it has everything.
        let acknowledged = async { while fixture.ask::<u8>("WAIT 1 100").await.unwrap() == 0 {} };
        soon(acknowledged).await;

        let _: () = redis::cmd("REPLICAOF")
            .arg(&["NO", "ONE"])
            .query_async(&mut master)
            .await
            .unwrap();
        let replicate = format!("REPLICAOF 127.0.0.1 {}", other.port());
        let _: () = fixture.ask(&replicate).await.unwrap();
        adds_are_refused(&streams, "READONLY").await;
        let read = streams.stream_read_group("s", "g", "d", 1, None);
        is_told(&soon(read).await.unwrap_err(), "READONLY");
        reads_are_answered(&streams).await;
        waiting.goes_on();
        // What its master is given comes to those who only read.
        let _: String = redis::cmd("XADD")
            .arg(&["s", "*", "f", "meanwhile"])
            .query_async(&mut master)
            .await
            .unwrap();
        assert_eq!(next_values(&mut waiting.tail).await, ["meanwhile"]);
        assert_eq!(
            values(&entries(soon(waiting.reader).await).0),
            ["meanwhile"]
        );
        assert!((&mut waiting.consumer).now_or_never().is_none());

        let _: () = fixture.ask("REPLICAOF NO ONE").await.unwrap();
        assert_eq!(
            values(&entries(soon(waiting.consumer).await).0),
            ["meanwhile"]
        );
        adds_are_done_once(&streams).await;
        add(&streams, "after").await.unwrap();
        assert_eq!(next_values(&mut waiting.tail).await, ["after"]);
        until_away(&fixture.streams, None).await;
    }
}

/// The old master keeps its connections, and what waits only reads.
#[tokio::test]
async fn after_a_failover_the_one_that_was_promoted_is_found_under_the_same_name() {
    for version in RedisVersion::ALL {
        let mut fixture = Fixture::new(version).await;
        let other = RedisServer::start(version).unwrap();
        let relay = Relay::start((Ipv4Addr::LOCALHOST, fixture.server.port()).into());
        let relay = relay.await.unwrap();
        let url = format!("redis://{}", relay.address());
        fixture.streams = RedisStreams::connect(&url).await.unwrap();
        let streams = fixture.streams.clone();
        let mut master = direct(&other).await;
        let mut ask = async |command: &str| -> redis::Value {
            let mut words = command.split(' ');
            let mut cmd = redis::cmd(words.next().unwrap());
            cmd.arg(words.collect::<Vec<_>>());
            cmd.query_async(&mut master).await.unwrap()
        };
        ask(&format!("REPLICAOF 127.0.0.1 {}", fixture.server.port())).await;
        add(&streams, "before").await.unwrap();
        let mut waiting = Waiting::start(&streams).await;
        let acknowledged = async { while fixture.ask::<u8>("WAIT 1 100").await.unwrap() == 0 {} };
        soon(acknowledged).await;
        ask("REPLICAOF NO ONE").await;
        let replicate = format!("REPLICAOF 127.0.0.1 {}", other.port());
        let _: () = fixture.ask(&replicate).await.unwrap();
        relay.set_target((Ipv4Addr::LOCALHOST, other.port()).into());
        waiting.goes_on();
        // What comes there comes to the replica too, where a group cannot be read.
        ask("XADD s * f meanwhile").await;
        waiting.given("meanwhile").await;
        adds_are_done_once(&streams).await;
        add(&streams, "after").await.unwrap();
        until_away(&streams, None).await;
    }
}

/// Only those who wait would notice.
#[tokio::test]
async fn a_connection_of_waits_that_cannot_be_made_again_is_told() {
    let fixture = Fixture::as_bob(RedisVersion::V7_0, "--user bob on >any ~* &* +@all").await;
    let _: redis::Value = fixture
        .ask("ACL SETUSER bob resetpass >other")
        .await
        .unwrap();
    let clients: String = fixture.ask("CLIENT LIST").await.unwrap();
    let tracked = clients.lines().find(|client| client.contains("flags=t"));
    let words = tracked.unwrap().split(' ');
    let id = words
        .filter_map(|word| word.strip_prefix("id="))
        .next()
        .unwrap();
    let _: u8 = fixture.ask(&format!("CLIENT KILL ID {id}")).await.unwrap();
    until_away(&fixture.streams, Some("WRONGPASS")).await;
    add(&fixture.streams, "1").await.unwrap();
    let _: redis::Value = fixture.ask("ACL SETUSER bob >any").await.unwrap();
    until_away(&fixture.streams, None).await;
}

#[tokio::test]
async fn a_redis_without_memory_refuses_adds_and_answers_reads() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let streams = fixture.streams.clone();
        add(&streams, "before").await.unwrap();
        let mut waiting = Waiting::start(&streams).await;
        let _: () = fixture.ask("CONFIG SET maxmemory 1").await.unwrap();
        adds_are_refused(&streams, "OOM").await;
        let create = streams.stream_create_group("s", "h", "$");
        is_told(&soon(create).await.unwrap_err(), "OOM");
        reads_are_answered(&streams).await;
        // Whoever connects meanwhile too.
        let _: u8 = fixture
            .ask("CLIENT KILL TYPE normal SKIPME yes")
            .await
            .unwrap();
        until_away(&fixture.streams, Some("DISCONNECTED")).await;
        until_away(&fixture.streams, None).await;
        adds_are_refused(&streams, "OOM").await;
        reads_are_answered(&streams).await;
        waiting.goes_on();
        let _: () = fixture.ask("CONFIG SET maxmemory 0").await.unwrap();
        adds_are_done_once(&streams).await;
        add(&streams, "after").await.unwrap();
        waiting.given("after").await;
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_told_by_what_is_missing() {
    for version in RedisVersion::ALL {
        let mut fixture = Fixture::new(version).await;
        let streams = fixture.streams.clone();
        let _: String = fixture.ask("XADD s 5-0 f before").await.unwrap();
        let mut waiting = Waiting::start(&streams).await;
        fixture.server.kill().unwrap();
        until_away(&fixture.streams, Some("DISCONNECTED")).await;
        is_told(&add(&streams, "away").await.unwrap_err(), "DISCONNECTED");
        waiting.goes_on();
        fixture.server.restart().unwrap();
        until_away(&fixture.streams, None).await;
        fixture.direct = direct(&fixture.server).await;
        let lost = soon(waiting.consumer).await.unwrap_err();
        assert_eq!((lost.code(), lost.retry()), ("NOGROUP", Retry::Never));
        // Ids start anew: what a reader has seen says nothing about them, and it waits as it would in
        // Redis; a tail is told and given all.
        let _: String = fixture.ask("XADD s 1-0 f smaller").await.unwrap();
        let gap = crate::fixture::gap(&mut waiting.tail).await;
        assert!(gap.recreated && gap.after == "5-0", "{gap:?}");
        let mut tailed = next_values(&mut waiting.tail).await;
        let _: String = fixture.ask("XADD s 6-0 f greater").await.unwrap();
        if tailed.len() < 2 {
            tailed.extend(next_values(&mut waiting.tail).await);
        }
        assert_eq!(tailed, ["smaller", "greater"]);
        assert_eq!(values(&entries(soon(waiting.reader).await).0), ["greater"]);
        adds_are_done_once(&streams).await;
    }
}

/// Takes the proxy's password away, and gives it back; the proxy is signed in as `bob` or as nobody.
async fn is_locked_out(fixture: Fixture, lock: &[&str], unlock: &str, code: &str) {
    let streams = fixture.streams.clone();
    let mut waiting = Waiting::start(&streams).await;
    for command in lock {
        let _: redis::Value = fixture.ask(command).await.unwrap();
    }
    until_away(&fixture.streams, Some(code)).await;
    // What it needs is another password; for a caller it is away, and may come back.
    adds_are_refused(&streams, "DISCONNECTED").await;
    let _: String = fixture.ask("XADD s * f meanwhile").await.unwrap();
    waiting.goes_on();
    let _: redis::Value = fixture.ask(unlock).await.unwrap();
    until_away(&fixture.streams, None).await;
    adds_are_done_once(&streams).await;
    waiting.given("meanwhile").await;
}

#[tokio::test]
async fn a_password_that_was_changed_is_told_and_waited_for() {
    for version in RedisVersion::ALL {
        let bob = "--user bob on >any ~* &* +@all";
        let lock = ["ACL SETUSER bob resetpass >other", "CLIENT KILL USER bob"];
        let fixture = Fixture::as_bob(version, bob).await;
        is_locked_out(fixture, &lock, "ACL SETUSER bob >any", "WRONGPASS").await;
        let lock = [
            "CONFIG SET requirepass other",
            "CLIENT KILL TYPE normal SKIPME yes",
        ];
        let fixture = Fixture::new(version).await;
        // The fixture itself is signed in already.
        let unlock = "ACL SETUSER default nopass";
        is_locked_out(fixture, &lock, unlock, "NOAUTH").await;
    }
}

#[tokio::test]
async fn what_is_added_while_the_proxy_is_cut_off_is_missed_by_nobody() {
    for version in RedisVersion::ALL {
        let bob = "--user bob on nopass ~* &* +@all";
        let fixture = Fixture::as_bob(version, bob).await;
        let streams = fixture.streams.clone();
        let mut waiting = Waiting::start(&streams).await;
        for round in 0..2 {
            let lock = ["ACL SETUSER bob off", "CLIENT KILL USER bob"];
            for command in lock {
                let _: redis::Value = fixture.ask(command).await.unwrap();
            }
            until_away(&fixture.streams, Some("WRONGPASS")).await;
            waiting.goes_on();
            let added: Vec<String> = (0..20).map(|n| format!("{round}-{n}")).collect();
            for value in &added {
                let _: String = fixture.ask(&format!("XADD s * f {value}")).await.unwrap();
            }
            let _: redis::Value = fixture.ask("ACL SETUSER bob on").await.unwrap();
            assert_eq!(values(&entries(soon(waiting.reader).await).0), added);
            let mut tailed = Vec::new();
            while tailed.len() < added.len() {
                tailed.extend(next_values(&mut waiting.tail).await);
            }
            assert_eq!(tailed, added);
            // The consumer waits on another connection than the reads behind it need.
            until_away(&fixture.streams, None).await;
            let mut consumed = values(&entries(soon(waiting.consumer).await).0).len();
            while consumed < added.len() {
                let rest = streams.stream_read_group("s", "g", "c", 0, Some(0));
                let rest = soon(rest).await.unwrap();
                assert_eq!(values(&rest), added[consumed..]);
                consumed += rest.len();
            }
            (waiting.reader, waiting.consumer) = waits(&streams).await;
        }
    }
}

/// Of which the connections know nothing.
#[tokio::test]
async fn a_redis_that_hangs_is_away_although_nobody_asks_it_anything() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        fixture.server.pause().unwrap();
        let ((), took) = timed(until_away(&fixture.streams, Some("DISCONNECTED"))).await;
        let limit = PING_EVERY + RESPONSE_TIMEOUT;
        assert!(took < limit.as_millis() + 1_000, "{took}");
        fixture.server.resume().unwrap();
        until_away(&fixture.streams, None).await;
    }
}

#[tokio::test]
async fn a_redis_that_is_busy_is_away_and_not_taken_for_one_that_refuses() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let relay = Relay::start((Ipv4Addr::LOCALHOST, fixture.server.port()).into());
        let relay = relay.await.unwrap();
        let url = format!("redis://{}", relay.address());
        let streams = RedisStreams::connect(&url).await.unwrap();
        streams.stream_create_group("s", "g", "$").await.unwrap();
        // None but this: a group that is read when its connection ends is another matter.
        let (mut reader, _) = waits(&streams).await;
        let _: () = fixture.ask("CONFIG SET lua-time-limit 1").await.unwrap();
        let mut script = direct(&fixture.server).await;
        let mut endless = redis::cmd("EVAL");
        endless.arg("while true do end").arg(0);
        let running = endless.query_async::<()>(&mut script);
        let meanwhile = async {
            until_away(&streams, Some("BUSY")).await;
            adds_are_refused(&streams, "BUSY").await;
            let before = relay.counts().accepted;
            assert_eq!(relay.cut(Cut::Reset), 2);
            // Both have tried again.
            let tried = relay.until(|counts| counts.accepted >= before + 4);
            tried.await.unwrap();
            adds_are_refused(&streams, "BUSY").await;
            assert!((&mut reader).now_or_never().is_none());
            let _: () = fixture.ask("SCRIPT KILL").await.unwrap();
        };
        let (killed, ()) = tokio::join!(running, meanwhile);
        assert!(killed.is_err());
        until_away(&streams, None).await;
        adds_are_done_once(&streams).await;
        add(&streams, "after").await.unwrap();
        assert_eq!(values(&entries(soon(reader).await).0), ["after"]);
        let clients: String = fixture.ask("CLIENT LIST").await.unwrap();
        // The fixture's own is tracked too.
        assert_eq!(clients.matches("flags=t").count(), 2, "{clients}");
    }
}
