//! The native client plays the sequence tests of the protocol, in both encodings.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use futures_util::StreamExt as _;
use streamgate_protocol::codec::Encoding;
use streamgate_test_support::sequence::client_sequences;

mod owner;
mod server_socket;
mod test_run;
mod token_source;

use crate::test_run::TestRun;

/// Transcripts that are played at once; most of them wait for pauses.
const AT_ONCE: usize = 8;

/// Plays every transcript; fails with all that do not hold.
async fn play_all(encoding: Encoding) {
    let sequences = client_sequences().unwrap();
    assert!(sequences.len() >= 40, "{} transcripts", sequences.len());
    let plays = sequences.iter().map(|sequence| async move {
        let played = TestRun::start(encoding).await?.play(sequence).await;
        played.map_err(|error| error.context(sequence.name.clone()))
    });
    let played: Vec<anyhow::Result<()>> = futures_util::stream::iter(plays)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let failures: Vec<String> = played
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

#[tokio::test]
async fn the_native_client_plays_every_sequence_in_binary() {
    play_all(Encoding::Binary).await;
}

#[tokio::test]
async fn the_native_client_plays_every_sequence_in_json() {
    play_all(Encoding::Json).await;
}
