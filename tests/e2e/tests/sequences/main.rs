//! Our server plays the sequence tests of the protocol, in both encodings, on every backend.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;

use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_redis::RedisStreams;
use streamgate_test_support::sequence::server_sequences;
use streamgate_test_support::{RedisServer, RedisVersion};

mod socket;
mod test_run;

use crate::test_run::TestRun;

/// Plays every transcript; fails with all that do not hold.
async fn play_all(backend: Arc<dyn Backend>) {
    let sequences = server_sequences().unwrap();
    assert!(sequences.len() >= 30, "{} transcripts", sequences.len());
    let mut failures = Vec::new();
    for sequence in &sequences {
        for &encoding in Encoding::ALL {
            if let Err(error) = TestRun::start(backend.clone(), encoding, sequence.heartbeat_ms)
                .await
                .play(sequence)
                .await
            {
                failures.push(format!("{} in {encoding:?}: {error:#}", sequence.name));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

#[tokio::test]
async fn the_server_plays_every_sequence_in_memory() {
    play_all(Arc::new(MemoryStreams::new())).await;
}

#[tokio::test]
async fn the_server_plays_every_sequence_on_redis() {
    for version in RedisVersion::ALL {
        let redis = RedisServer::start(version).unwrap();
        play_all(Arc::new(RedisStreams::connect(&redis.url()).await.unwrap())).await;
    }
}
