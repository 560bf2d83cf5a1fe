//! The dedup window in Redis: what it costs, when it is lost, and where it is.

use futures_util::future::{Either, select};
use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_protocol::{EntryOperations, Operation};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::fixture::{Fixture, add, connect_directly, read, within_limit};
use crate::idempotent_add::{add_once, error_code, numbers, perform, perform_one};

#[tokio::test]
async fn a_refused_add_stops_the_adds_after_it() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture.command::<()>("SET s x").await.unwrap();
    let results = perform(
        &fixture.streams,
        vec![add_once(1, 0, false), add_once(2, 1, false)],
    )
    .await;
    let codes: Vec<_> = results
        .into_iter()
        .map(|result| result.unwrap_err().code().to_owned())
        .collect();
    assert_eq!(codes, ["WRONGTYPE", "OUT_OF_ORDER"]);
    fixture.command::<()>("DEL s").await.unwrap();
    assert!(
        perform_one(&fixture.streams, add_once(2, 0, true))
            .await
            .is_ok()
    );
    assert_eq!(
        error_code(&fixture.streams, add_once(1, 0, true)).await,
        "FORGOTTEN"
    );
}

#[tokio::test]
async fn the_dedup_window_expires_and_holds_no_fields() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let keys = async || fixture.command::<Vec<String>>("KEYS *").await.unwrap();
    for number in 1..=10 {
        perform_one(&fixture.streams, add_once(number, number - 1, false))
            .await
            .unwrap();
    }
    let mut found = keys().await;
    found.sort();
    assert_eq!(found, ["s", "streamgate:once:{s}:p"]);
    let left: u64 = fixture.command("PTTL streamgate:once:{s}:p").await.unwrap();
    assert!((850_000..=900_000).contains(&left), "{left}");
    let records: usize = fixture.command("LLEN streamgate:once:{s}:p").await.unwrap();
    assert_eq!(records, 10);
    // A window that is lost is created anew, with a time-to-live of its own.
    fixture
        .command::<()>("DEL streamgate:once:{s}:p")
        .await
        .unwrap();
    assert_eq!(
        error_code(&fixture.streams, add_once(10, 9, true)).await,
        "OUT_OF_ORDER"
    );
    perform_one(&fixture.streams, add_once(11, 0, false))
        .await
        .unwrap();
    let left: u64 = fixture.command("PTTL streamgate:once:{s}:p").await.unwrap();
    assert!((850_000..=900_000).contains(&left), "{left}");
    assert_eq!(
        error_code(&fixture.streams, add_once(10, 9, true)).await,
        "FORGOTTEN"
    );
}

#[tokio::test]
async fn an_unknown_script_is_loaded_again() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture.command::<()>("SCRIPT FLUSH").await.unwrap();
    assert_eq!(
        error_code(&fixture.streams, add_once(1, 0, false)).await,
        "TRYAGAIN"
    );
    assert!(
        perform_one(&fixture.streams, add_once(1, 0, true))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_call_that_stores_nothing_leaves_the_refresh_of_its_window_due() {
    const WINDOW: &str = "streamgate:once:{s}:p";
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    perform_one(&fixture.streams, add_once(1, 0, false))
        .await
        .unwrap();
    // Another server knows nothing of the window's time-to-live.
    let other = RedisStreams::connect(&fixture.server.url()).await.unwrap();
    let code = error_code(&other, add_once(3, 2, false)).await;
    assert_eq!(code, "OUT_OF_ORDER");
    fixture.command::<()>("SCRIPT FLUSH").await.unwrap();
    let code = error_code(&other, add_once(2, 1, false)).await;
    assert_eq!(code, "TRYAGAIN");
    let command = format!("PEXPIRE {WINDOW} 600000");
    fixture.command::<()>(&command).await.unwrap();
    perform_one(&other, add_once(2, 1, false)).await.unwrap();
    let left: u64 = fixture.command(&format!("PTTL {WINDOW}")).await.unwrap();
    assert!((850_000..=900_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_batch_that_loads_the_script_is_not_overtaken_by_the_next() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    fixture.command::<()>("SCRIPT FLUSH").await.unwrap();
    let read = read("s", "$", 1, Some(0));
    let first = fixture
        .streams
        .perform(vec![add_once(1, 0, false), read], PerformOptions::default());
    let second = fixture
        .streams
        .perform(vec![add("t", "v")], PerformOptions::default());
    let Either::Left((progress, _)) = select(first, second).await else {
        panic!("the second batch has its outcomes first")
    };
    assert!(matches!(progress[1], Progress::Waiting { .. }));
}

#[tokio::test]
async fn without_scripts_adds_are_plain_and_repeats_fail() {
    let user = "--user app on nopass ~* &* +@all -script";
    let fixture = Fixture::with_user(RedisVersion::V7_0, user).await;
    assert!(
        perform_one(&fixture.streams, add_once(1, 0, false))
            .await
            .is_ok()
    );
    assert_eq!(
        error_code(&fixture.streams, add_once(1, 0, true)).await,
        "FORGOTTEN"
    );
    assert_eq!(numbers(&fixture.streams).await.len(), 1);
}

#[tokio::test]
async fn ids_of_any_length_are_remembered() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let far_ahead = "18446744073709551600-1844674407370955";
    let next_to_full = "1726919030474-18446744073709551613";
    for last_id in [far_ahead, next_to_full] {
        fixture.command::<()>("FLUSHALL").await.unwrap();
        let there = format!("XADD s {last_id} n 0");
        fixture.command::<()>(&there).await.unwrap();
        let run = || {
            (1..=3)
                .map(|number| add_once(number, number - 1, true))
                .collect()
        };
        let added = perform(&fixture.streams, run()).await;
        let again = perform(&fixture.streams, run()).await;
        assert_eq!(added, again);
        let ids = added.into_iter().map(Result::unwrap);
        let there = numbers(&fixture.streams).await;
        assert_eq!(there[1..], ids.zip(1..).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_window_costs_what_it_holds() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let bytes = async || {
            let usage = "MEMORY USAGE streamgate:once:{s}:p SAMPLES 0";
            fixture.command::<usize>(usage).await.unwrap()
        };
        perform_one(&fixture.streams, add_once(1_024, 0, false))
            .await
            .unwrap();
        let of_one_add = bytes().await;
        assert!(of_one_add < 256, "{of_one_add}");
        let batch = (1_025..=2_048).map(|number| add_once(number, number - 1, false));
        perform(&fixture.streams, batch.collect()).await;
        let of_a_batch = bytes().await;
        assert!(of_a_batch < 8 * 1_024, "{of_a_batch}");
        for number in 2_049..=5_000 {
            let add = add_once(number, number - 1, false);
            perform_one(&fixture.streams, add).await.unwrap();
        }
        let of_single_adds = bytes().await;
        assert!(of_single_adds < 32 * 1_024, "{of_single_adds}");
    }
}

#[tokio::test]
async fn a_batch_of_any_width_is_trimmed_as_a_whole() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    for width in [1, 3] {
        fixture.command::<()>("FLUSHALL").await.unwrap();
        let add = |number: u64| Operation::IdempotentAdd {
            stream: "s".into(),
            fields: vec![("n".into(), number.to_string().into()); width],
            maxlen: Some(300),
            producer: "p".into(),
            number,
            after: number - 1,
            resent: number <= 100,
        };
        perform(&fixture.streams, (1..=100).map(add).collect()).await;
        let results = perform(&fixture.streams, (1..=1_000).map(add).collect()).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let left = numbers(&fixture.streams).await;
        assert!((300..500).contains(&left.len()), "{}", left.len());
        assert_eq!(left.last().unwrap().1, 1_000);
        let entries = fixture
            .streams
            .read_entries("s", "0", 1, None)
            .await
            .unwrap();
        assert_eq!(entries[0].fields.len(), width);
    }
}

/// The default of many hosted servers is `volatile-lru`, and a window has a time-to-live.
#[tokio::test]
async fn a_repeat_is_forgotten_where_its_window_may_have_been_evicted() {
    for version in RedisVersion::ALL {
        let policy = ["--maxmemory-policy", "volatile-lru"];
        let server = RedisServer::start_with(version, &policy).unwrap();
        let streams = RedisStreams::connect(&server.url()).await.unwrap();
        let mut direct = connect_directly(&server).await;
        perform_one(&streams, add_once(1, 0, false)).await.unwrap();
        let evict = redis::cmd("DEL").arg("streamgate:once:{s}:p").to_owned();
        evict.query_async::<()>(&mut direct).await.unwrap();

        let repeats = vec![
            add_once(1, 0, true),
            add_once(2, 1, true),
            add_once(3, 2, false),
        ];
        let codes: Vec<_> = perform(&streams, repeats)
            .await
            .into_iter()
            .map(|result| result.unwrap_err().code().to_owned())
            .collect();
        assert_eq!(codes, ["FORGOTTEN", "FORGOTTEN", "OUT_OF_ORDER"]);
        assert_eq!(numbers(&streams).await.len(), 1);
        // The producer goes on, and is remembered again.
        let third = perform_one(&streams, add_once(3, 0, false)).await;
        assert!(third.is_ok(), "{third:?}");
        assert_eq!(perform_one(&streams, add_once(3, 0, true)).await, third);
        assert_eq!(
            error_code(&streams, add_once(2, 1, true)).await,
            "FORGOTTEN"
        );
        assert_eq!(numbers(&streams).await.len(), 2);
    }
}

#[tokio::test]
async fn where_nothing_is_evicted_a_repeat_of_an_unknown_producer_is_stored() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let added = perform_one(&fixture.streams, add_once(1, 0, true)).await;
    assert!(added.is_ok(), "{added:?}");
}

#[tokio::test]
async fn a_redis_that_does_not_tell_its_policy_may_evict() {
    let user = "--user app on nopass ~* &* +@all -info";
    let fixture = Fixture::with_user(RedisVersion::V7_0, user).await;
    let repeat = error_code(&fixture.streams, add_once(1, 0, true)).await;
    assert_eq!(repeat, "FORGOTTEN");
    let added = perform_one(&fixture.streams, add_once(1, 0, false)).await;
    assert!(added.is_ok(), "{added:?}");
}

#[tokio::test]
async fn the_policy_is_probed_again_after_a_reconnection() {
    let mut fixture = Fixture::new(RedisVersion::V7_0).await;
    let policy = "CONFIG SET maxmemory-policy allkeys-lru";
    fixture.command::<()>(policy).await.unwrap();
    fixture
        .command::<()>("CLIENT KILL TYPE normal")
        .await
        .unwrap();
    fixture.direct = connect_directly(&fixture.server).await;
    let repeat = async || {
        loop {
            let error = error_code(&fixture.streams, add_once(1, 0, true)).await;
            if error != "DISCONNECTED" && error != "UNKNOWN_OUTCOME" {
                return error;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(repeat().await, "FORGOTTEN");
}

/// A Redis Cluster refuses a script whose keys are in different slots.
#[tokio::test]
async fn a_window_is_in_the_slot_of_its_stream() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    // A node of a cluster knows the slots of keys.
    let cluster = ["--cluster-enabled", "yes"];
    let node = RedisServer::start_with(RedisVersion::V7_0, &cluster).unwrap();
    let node = connect_directly(&node).await;
    let slot = async |key: &str| {
        let mut command = redis::cmd("CLUSTER");
        command.arg(&["KEYSLOT", key]);
        let mut node = node.clone();
        let answer = command.query_async::<u16>(&mut node);
        within_limit(answer).await.unwrap()
    };
    for stream in [
        "orders", "a:b", "{a}:b", "a{b}c{d}", "a{b", "{", "}", "{}", "{}x", "a}b", "}{", "x{}y{z}",
        "ä", "",
    ] {
        let mut add = add_once(1, 0, false);
        if let Operation::IdempotentAdd { stream: of, .. } = &mut add {
            *of = stream.into();
        }
        fixture.command::<()>("FLUSHALL").await.unwrap();
        let added = perform_one(&fixture.streams, add).await;
        assert!(added.is_ok(), "{stream}: {added:?}");
        let windows: Vec<String> = fixture.command("KEYS streamgate:once:*").await.unwrap();
        assert_eq!(windows.len(), 1, "{stream}: {windows:?}");
        assert_eq!(slot(&windows[0]).await, slot(stream).await, "{windows:?}");
    }
}
