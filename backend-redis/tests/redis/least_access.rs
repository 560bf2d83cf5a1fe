//! The least that a Redis user may do for the server, as SECURITY.md lists it: all of it suffices,
//! and each command of it is needed.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use redis::Value;
use streamgate_backend::{Backend, PerformOptions};
use streamgate_protocol::{
    CacheResult, ConsumeOptions, Operation, PendingEntries, PendingQuery, StreamingBackend,
    SubscribingBackend, TailFrom, TailItem,
};
use streamgate_redis::{HashReader, RedisStreams};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, entries, within_limit};
use crate::idempotent_add::{add_once, perform_one};

fn documented() -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../SECURITY.md");
    let document = fs::read_to_string(document).unwrap();
    let list = document.lines().find(|line| line.starts_with("-@all "));
    list.unwrap().to_owned()
}

/// Starts a Redis whose user `app` has the documented rights.
async fn start(version: RedisVersion) -> Fixture {
    let user =
        "--user app on nopass resetchannels ~s ~dead ~streamgate:once:* %R~streamgate:revoked";
    Fixture::with_user(version, &format!("{user} {}", documented())).await
}

#[tokio::test]
async fn the_access_list_of_the_security_document_suffices_for_every_operation() {
    for version in RedisVersion::ALL {
        let fixture = start(version).await;
        use_everything(&fixture).await.unwrap();
        // What it lacks is refused, so the list is the one that was tested.
        let fields = vec![("f".into(), "v".into())];
        let other = fixture.streams.stream_add("t", fields, None).await;
        assert_eq!(other.unwrap_err().code(), "NOPERM");
    }
}

#[tokio::test]
async fn every_command_of_the_access_list_is_needed() {
    let list = documented();
    let mut unneeded: Vec<&str> = list.split(' ').skip(1).collect();
    for version in RedisVersion::ALL {
        let mut fixture = start(version).await;
        let mut left = Vec::new();
        for right in unneeded {
            if !is_missed(&mut fixture, right.trim_start_matches('+')).await {
                left.push(right);
            }
        }
        unneeded = left;
    }
    assert_eq!(unneeded, [""; 0]);
}

/// Returns whether something fails, or is refused by Redis, if the user may not use a command.
async fn is_missed(fixture: &mut Fixture, command: &str) -> bool {
    let url = fixture.user_url();
    let take = format!("ACL SETUSER app -{command}");
    for prepare in ["FLUSHALL", "SCRIPT FLUSH", "CONFIG RESETSTAT", &take] {
        let _: Value = fixture.command(prepare).await.unwrap();
    }
    let is_refused = async |fixture: &Fixture| fixture.rejected_calls(command).await > 0;
    let is_missed = match RedisStreams::connect(&url).await {
        Err(_) => true,
        Ok(streams) => {
            fixture.streams = streams;
            let attempt = AssertUnwindSafe(use_everything(fixture)).catch_unwind();
            let refused = async { while !is_refused(fixture).await {} };
            tokio::select! {
                ended = attempt => !matches!(ended, Ok(Ok(()))) || is_refused(fixture).await,
                () = refused => true,
            }
        }
    };
    let give_back = format!("ACL SETUSER app +{command}");
    let _: Value = fixture.command(&give_back).await.unwrap();
    is_missed
}

/// Uses every operation, in every way that sends other commands.
async fn use_everything(fixture: &Fixture) -> CacheResult<()> {
    let streams = &fixture.streams;
    let mut tail = streams.tail("s", TailFrom::Beginning);
    let waiting = fixture.start_read("s", "$", 0).await;
    let first = add(streams, "first").await?;
    within_limit(waiting.finish()).await?;
    for resent in [false, true] {
        perform_one(streams, add_once(1, 0, resent)).await?;
    }
    let mut tailed = 0;
    while tailed < 2 {
        if let Some(TailItem::Entries { entries, .. }) =
            within_limit(tail.next()).await.transpose()?
        {
            tailed += entries.len();
        }
    }
    assert_eq!(streams.stream_read_latest("s", 9).await?.len(), 2);
    let after_first = streams.stream_read("s", &first, 9, None).await?;
    assert_eq!(after_first.len(), 1);

    streams.stream_create_group("s", "g", "0").await?;
    let held = streams.stream_read_group("s", "g", "ann", 9, None).await?;
    assert_eq!(held.len(), 2);
    let group_wait = fixture.start_group_read("ann", 1, 0).await;
    add(streams, "third").await?;
    within_limit(group_wait.finish()).await?;
    streams
        .stream_ack("s", "g", std::slice::from_ref(&first))
        .await?;
    let mut progress = streams
        .perform(vec![read_pending()], PerformOptions::default())
        .await;
    let held = progress.remove(0).finish().await;
    assert_eq!(entries(held).0.len(), 2);
    assert_eq!(streams.pending_summary("s", "g").await?.count, 2);
    let all = streams.pending("s", "g", PendingQuery::default()).await?;
    assert_eq!(all.len(), 2);
    assert_eq!(streams.consumers("s", "g").await?.len(), 1);
    let claimed = streams.claim("s", "g", "bob", 0, "0-0", 1).await?;
    assert_eq!(claimed.entries.len(), 1);
    assert_eq!(streams.remove_consumer("s", "g", "ann", "zoe").await, Ok(1));

    let options = ConsumeOptions::default()
        .claim_after_ms(1)
        .dead_letter("dead", 2);
    let mut deliveries = streams.consume("s", "g", "amy", options);
    // The entry that was claimed has been delivered twice.
    let given = within_limit(deliveries.next()).await.unwrap()?;
    assert_eq!(given.len(), 1);
    let dead = streams.stream_read("dead", "0", 1, Some(9_000));
    tokio::select! {
        found = within_limit(dead) => assert_eq!(found?.len(), 1),
        given = deliveries.next() => panic!("it received {given:?}"),
    }
    drop(deliveries);
    let mut revoked = HashReader::new(
        &RedisStreams::builder(&fixture.user_url()),
        "streamgate:revoked",
    )?;
    assert_eq!(revoked.read(1, Duration::from_secs(60)).await?.len(), 0);
    let mut last = streams.tail("s", TailFrom::Last(1));
    within_limit(last.next()).await.transpose()?;
    // So many that the dedup window is cut.
    for number in 2..1_100 {
        perform_one(streams, add_once(number, number - 1, false)).await?;
    }
    // A new connection ends the old one at Redis, which may not know yet that it is lost.
    let _: Value = fixture.command("CLIENT KILL USER app").await.unwrap();
    while streams.stream_read_latest("s", 1).await.is_err() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn add(streams: &RedisStreams, value: &str) -> CacheResult<String> {
    let fields = vec![("f".into(), value.into())];
    streams.stream_add("s", fields, None).await
}

fn read_pending() -> Operation<'static> {
    Operation::ReadPending {
        stream: "s".into(),
        group: "g".into(),
        consumer: "ann".into(),
        after: "0-0".into(),
        count: 9,
        except: Vec::new(),
    }
}
