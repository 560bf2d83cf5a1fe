//! Sequence tests: the transcripts of `protocol/sequences`, and how their messages are compared.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

mod client_step;
mod pattern;

pub use client_step::ClientStep;
pub use pattern::Variables;

/// A transcript: what a runner does, and what it expects of the side under test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence<S = Step> {
    /// The file's name without its extension.
    #[serde(skip)]
    pub name: String,
    /// What the transcript shows, in one sentence.
    pub about: String,
    /// The side that is tested; the runner plays the other one.
    pub under_test: Side,
    /// The heartbeat interval of the server, if not its default.
    pub heartbeat_ms: Option<u32>,
    /// What the side under test has to support beside the necessary.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<S>,
}

/// A side of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The server.
    Server,
    /// The client.
    Client,
}

/// A step of a transcript for a server: `protocol/sequences/README.md` describes each.
#[derive(Debug, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the README describes the keys")]
pub enum Step {
    Open {
        #[serde(default = "first_socket")]
        socket: String,
    },
    Connect {
        #[serde(default = "first_socket")]
        socket: String,
    },
    Send {
        #[serde(default = "first_socket")]
        socket: String,
        messages: Vec<Value>,
    },
    SendRaw {
        #[serde(default = "first_socket")]
        socket: String,
        json: Value,
        binary: Value,
        #[serde(default)]
        other_type: bool,
    },
    Expect {
        #[serde(default = "first_socket")]
        socket: String,
        messages: Vec<Value>,
        #[serde(default)]
        any_order: bool,
    },
    ExpectPing {
        #[serde(default = "first_socket")]
        socket: String,
        answer: bool,
    },
    ExpectClose {
        #[serde(default = "first_socket")]
        socket: String,
        code: u16,
    },
    Close {
        #[serde(default = "first_socket")]
        socket: String,
        code: u16,
    },
    ShutDown,
    Repeat {
        count: u64,
        variable: String,
        steps: Vec<Self>,
    },
}

fn first_socket() -> String {
    "a".to_owned()
}

/// Reads the transcripts for a server, by name.
///
/// # Errors
///
/// A file cannot be read, or is no transcript.
pub fn server_sequences() -> anyhow::Result<Vec<Sequence>> {
    read("", Side::Server)
}

/// Reads the transcripts for a client, by name.
///
/// # Errors
///
/// A file cannot be read, or is no transcript.
pub fn client_sequences() -> anyhow::Result<Vec<Sequence<ClientStep>>> {
    read("client", Side::Client)
}

fn read<S: DeserializeOwned>(folder: &str, under_test: Side) -> anyhow::Result<Vec<Sequence<S>>> {
    let sequences = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/sequences");
    let folder = sequences.join(folder);
    let mut sequences = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let mut sequence: Sequence<S> = serde_json::from_str(&text)
            .with_context(|| format!("{} is no transcript", path.display()))?;
        ensure!(
            sequence.under_test == under_test,
            "{} is for the other side",
            path.display()
        );
        let stem = path.file_stem().context("a file has a name")?;
        sequence.name = stem.to_string_lossy().into_owned();
        sequences.push(sequence);
    }
    sequences.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sequences)
}
