//! What Redis refuses costs one feature each, and is refused to nobody in words of ours.

use redis::Value;
use streamgate_protocol::{
    CacheError, GapReason, StreamingBackend, SubscribingBackend, TailFrom, TailItem,
};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, collect, first_position, next, next_gap, next_values, within_limit};
use crate::idempotent_add::{add_once, perform_one};

/// Checks that a text tells nothing of how idempotent adds are done.
fn tells_nothing(error: &CacheError) {
    let text = error.to_string();
    for internal in [
        "streamgate:once",
        "user_script",
        "redis.call",
        "LINDEX",
        "lindex",
    ] {
        assert!(!text.contains(internal), "{text}");
    }
}

#[tokio::test]
async fn adds_are_plain_ones_where_redis_refuses_any_part_of_the_script() {
    for version in RedisVersion::ALL {
        for user in [
            "~* +@all -evalsha",
            "~* +@all -script",
            "~* +@all -eval -evalsha -script",
            "~* +@all -lindex",
            "~* +@all -lrange",
            "~* +@all -rpush",
            "~* +@all -ltrim",
            "~* +@all -pexpire",
            // Only the keys.
            "~s +@all",
            "~s %R~streamgate:once:* +@all",
        ] {
            let user = format!("--user app on nopass &* {user}");
            plain_adds(&Fixture::with_user(version, &user).await, &user).await;
        }
        let app = "--user app on nopass ~* &* +@all";
        for renamed in ["EVALSHA", "SCRIPT", "LINDEX"] {
            let config = format!("{app} --rename-command {renamed} other-name");
            plain_adds(&Fixture::with_user(version, &config).await, renamed).await;
        }
    }
}

async fn plain_adds(fixture: &Fixture, why: &str) {
    let streams = &fixture.streams;
    for number in 1..4 {
        let added = perform_one(streams, add_once(number, number - 1, false)).await;
        added.unwrap_or_else(|error| panic!("{why}: {error}"));
    }
    // Nobody remembers it, so it is not stored twice.
    let repeated = perform_one(streams, add_once(3, 2, true))
        .await
        .unwrap_err();
    assert_eq!(repeated.code(), "FORGOTTEN", "{why}");
    tells_nothing(&repeated);
    assert_eq!(fixture.command::<u64>("XLEN s").await.unwrap(), 3, "{why}");
    let keys: Vec<String> = fixture.command("KEYS streamgate:*").await.unwrap();
    assert_eq!(keys, [""; 0], "{why}");
}

#[tokio::test]
async fn a_permission_that_is_taken_away_meanwhile_makes_adds_plain() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::with_user(version, "--user app on nopass ~* &* +@all").await;
        let streams = &fixture.streams;
        perform_one(streams, add_once(1, 0, false)).await.unwrap();
        let _: Value = fixture.command("ACL SETUSER app -evalsha").await.unwrap();
        let refused = perform_one(streams, add_once(2, 1, false))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "TRYAGAIN");
        tells_nothing(&refused);
        perform_one(streams, add_once(2, 1, false)).await.unwrap();
        assert_eq!(fixture.command::<u64>("XLEN s").await.unwrap(), 2);

        // Within the script it comes too late for a plain add.
        for rules in ["+evalsha -rpush", "+@all resetkeys ~s"] {
            let rules = format!("ACL SETUSER app {rules}");
            let fixture = Fixture::with_user(version, "--user app on nopass ~* &* +@all").await;
            let _: Value = fixture.command(&rules).await.unwrap();
            let failed = perform_one(&fixture.streams, add_once(1, 0, false)).await;
            tells_nothing(&failed.unwrap_err());
        }
    }
}

#[tokio::test]
async fn tails_go_without_stream_info() {
    for version in RedisVersion::ALL {
        for refused in ["-xinfo", "-xinfo -eval", "-xinfo -client|tracking"] {
            let fixture = Fixture::refusing(version, refused).await;
            let streams = &fixture.streams;
            let mut empty = streams.tail("empty", TailFrom::Now);
            first_position(&mut empty).await;
            fixture.add("empty", "first").await;
            assert_eq!(next_values(&mut empty).await, ["first"]);

            let mut ids = Vec::new();
            for value in ["1", "2", "3", "4"] {
                ids.push(fixture.add("s", value).await);
            }
            let mut all = streams.tail("s", TailFrom::Beginning);
            assert_eq!(collect(&mut all, 4).await, ["1", "2", "3", "4"]);
            let mut last = streams.tail("s", TailFrom::Last(2));
            assert_eq!(collect(&mut last, 2).await, ["3", "4"]);
            let mut now = streams.tail("s", TailFrom::Now);
            first_position(&mut now).await;
            let mut after = streams.tail("s", TailFrom::After(ids[1].clone()));
            assert_eq!(collect(&mut after, 2).await, ["3", "4"]);
            // Live, also after an entry that is gone.
            let delete = format!("XDEL s {}", ids[3]);
            let _: u8 = fixture.command(&delete).await.unwrap();
            fixture.add("s", "5").await;
            for tail in [&mut all, &mut last, &mut now, &mut after] {
                assert_eq!(next_values(tail).await, ["5"]);
            }
            // The entry that was deleted has older ones before it: nothing is missing.
            let mut deleted = streams.tail("s", TailFrom::After(ids[3].clone()));
            assert_eq!(collect(&mut deleted, 1).await, ["5"]);
            // Trimmed entries are a gap, once.
            let _: u8 = fixture.command("XTRIM s MAXLEN 1").await.unwrap();
            let mut trimmed = streams.tail("s", TailFrom::After(ids[0].clone()));
            let gap = next_gap(&mut trimmed).await;
            assert_eq!((gap.reason, &gap.after), (GapReason::Trimmed, &ids[0]));
            assert_eq!(collect(&mut trimmed, 1).await, ["5"]);
            fixture.add("s", "6").await;
            for tail in [&mut all, &mut trimmed] {
                assert_eq!(next_values(tail).await, ["6"]);
            }
            // Only one of them can say so.
            let _: u8 = fixture.command("DEL s").await.unwrap();
            fixture.add("s", "7").await;
            match next(&mut all).await.unwrap() {
                TailItem::Gap(gap) => assert_eq!(gap.reason, GapReason::Trimmed),
                other => panic!("{other:?}"),
            }
            assert_eq!(next_values(&mut all).await, ["7"]);
            within_limit(streams.stream_read("s", "0", 1, None))
                .await
                .unwrap();
        }
    }
}
