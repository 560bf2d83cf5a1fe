//! The least that a Redis user may do for the server, as SECURITY.md lists it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use streamgate_backend::{Backend, PerformOptions};
use streamgate_protocol::{
    ConsumeOptions, Operation, PendingEntries, PendingQuery, StreamingBackend, SubscribingBackend,
    TailFrom, TailItem,
};
use streamgate_redis::HashReader;
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, entries, within_limit};
use crate::idempotent_add::{add_once, perform_one};

fn documented() -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../SECURITY.md");
    let document = fs::read_to_string(document).unwrap();
    let list = document.lines().find(|line| line.starts_with("-@all "));
    list.unwrap().to_owned()
}

#[tokio::test]
async fn the_access_list_of_the_security_document_suffices_for_every_operation() {
    for version in RedisVersion::ALL {
        let user = format!(
            "--user app on nopass resetchannels ~s ~dead ~streamgate:once:* %R~streamgate:revoked {}",
            documented()
        );
        let fixture = Fixture::with_user(version, &user).await;
        let streams = &fixture.streams;
        let mut tail = streams.tail("s", TailFrom::Beginning);
        let waiting = fixture.start_read("s", "$", 0).await;
        let first = fixture.add("s", "first").await;
        assert!(within_limit(waiting.finish()).await.is_ok());
        for resent in [false, true] {
            let added = perform_one(streams, add_once(1, 0, resent)).await;
            assert!(added.is_ok(), "{added:?}");
        }
        let mut tailed = 0;
        while tailed < 2 {
            if let TailItem::Entries { entries, .. } =
                within_limit(tail.next()).await.unwrap().unwrap()
            {
                tailed += entries.len();
            }
        }
        assert_eq!(streams.stream_read_latest("s", 9).await.unwrap().len(), 2);
        let after_first = streams.stream_read("s", &first, 9, None).await;
        assert_eq!(after_first.unwrap().len(), 1);

        streams.stream_create_group("s", "g", "0").await.unwrap();
        let held = streams.stream_read_group("s", "g", "ann", 9, None).await;
        assert_eq!(held.unwrap().len(), 2);
        let group_wait = fixture.start_group_read("ann", 1, 0).await;
        fixture.add("s", "third").await;
        assert!(within_limit(group_wait.finish()).await.is_ok());
        assert_eq!(
            streams
                .stream_ack("s", "g", std::slice::from_ref(&first))
                .await,
            Ok(())
        );
        let mut progress = streams
            .perform(vec![read_pending()], PerformOptions::default())
            .await;
        let held = progress.remove(0).finish().await;
        assert_eq!(entries(held).0.len(), 2);
        assert_eq!(streams.pending_summary("s", "g").await.unwrap().count, 2);
        let all = streams.pending("s", "g", PendingQuery::default()).await;
        assert_eq!(all.unwrap().len(), 2);
        assert_eq!(streams.consumers("s", "g").await.unwrap().len(), 1);
        let claimed = streams.claim("s", "g", "bob", 0, "0-0", 1).await.unwrap();
        assert_eq!(claimed.entries.len(), 1);
        assert_eq!(streams.remove_consumer("s", "g", "ann", "zoe").await, Ok(1));

        let options = ConsumeOptions::default()
            .claim_after_ms(1)
            .dead_letter("dead", 2);
        let mut deliveries = streams.consume("s", "g", "amy", options);
        // The entry that was claimed has been delivered twice.
        let given = within_limit(deliveries.next()).await.unwrap().unwrap();
        assert_eq!(given.len(), 1);
        let dead = streams.stream_read("dead", "0", 1, Some(9_000));
        tokio::select! {
            found = within_limit(dead) => assert_eq!(found.unwrap().len(), 1),
            given = deliveries.next() => panic!("it received {given:?}"),
        }
        let mut revoked = HashReader::new(&fixture.user_url(), "streamgate:revoked").unwrap();
        let fields = revoked.read(1, Duration::from_secs(60)).await;
        assert_eq!(fields.unwrap().len(), 0);
        // What it lacks is refused, so the list is the one that was tested.
        let other = streams
            .stream_add("t", vec![("f".into(), "v".into())], None)
            .await;
        assert_eq!(other.unwrap_err().code(), "NOPERM");
    }
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
