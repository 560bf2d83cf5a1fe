//! What the backend counts of its own work.

use streamgate_backend::reclaim::step::ReclaimStep;
use streamgate_backend::{Backend, BackendCounters};
use streamgate_protocol::message::Subscription;
use streamgate_protocol::{ConsumeOptions, StreamingBackend};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, wait_for_availability};

fn counters(fixture: &Fixture) -> &BackendCounters {
    fixture.streams.counters().unwrap()
}

#[tokio::test]
async fn round_trips_and_reconnects_are_counted() {
    for version in RedisVersion::ALL {
        let mut fixture = Fixture::new(version).await;
        let before = counters(&fixture).round_trips.value();
        for _ in 0..10 {
            fixture.add("s", "v").await;
        }
        assert!(counters(&fixture).round_trips.value() >= before + 10);
        assert_eq!(counters(&fixture).reconnects.value(), 0);
        fixture.server.kill().unwrap();
        wait_for_availability(&fixture.streams, Some("DISCONNECTED")).await;
        fixture.server.restart().unwrap();
        wait_for_availability(&fixture.streams, None).await;
        assert!(counters(&fixture).reconnects.value() >= 1);
    }
}

#[tokio::test]
async fn reclaimed_entries_and_dead_letters_are_counted() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let streams = &fixture.streams;
        streams.stream_create_group("s", "g", "0").await.unwrap();
        for _ in 0..3 {
            fixture.add("s", "v").await;
        }
        let read = streams.stream_read_group("s", "g", "ann", 10, None).await;
        assert_eq!(read.unwrap().len(), 3);
        let step = |consumer: &'static str, options: ConsumeOptions| {
            let options = options.claim_after_ms(1);
            let subscription = Subscription::consume("s", "g", consumer, options);
            let mut step = ReclaimStep::first(&subscription).unwrap();
            (step.min_idle_ms, step.count) = (0, 100);
            step
        };
        let reclaimed = streams.reclaim(step("bob", ConsumeOptions::default()));
        assert_eq!(reclaimed.await.unwrap().entries.len(), 3);
        let options = ConsumeOptions::default().dead_letter("dead", 1);
        let reclaimed = streams.reclaim(step("carl", options)).await.unwrap();
        assert_eq!(reclaimed.entries, []);
        assert_eq!(counters(&fixture).reclaimed_entries.value(), 3);
        assert_eq!(counters(&fixture).dead_letter_entries.value(), 3);
    }
}
