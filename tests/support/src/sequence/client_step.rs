//! The steps of transcripts for a client.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A step of a transcript for a client: `protocol/sequences/README.md` describes each.
#[derive(Debug, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the README describes the keys")]
pub enum ClientStep {
    Start {
        #[serde(default)]
        idempotent_adds: bool,
        token: Option<String>,
        #[serde(default)]
        token_source: bool,
    },
    TokenRequest {
        force: Option<bool>,
        answer: Option<String>,
        error: Option<String>,
    },
    Accept,
    Connect {
        #[serde(default)]
        welcome: Map<String, Value>,
        token: Option<String>,
    },
    Refuse {
        status: u16,
        retry_after: Option<u32>,
    },
    Send {
        messages: Vec<Value>,
    },
    SendRaw {
        json: String,
        binary: String,
        #[serde(default)]
        other_type: bool,
        id: Option<String>,
    },
    Expect {
        messages: Vec<Value>,
        #[serde(default)]
        any_order: bool,
    },
    ExpectCredit {
        id: Value,
        more_than: Value,
    },
    ExpectClose {
        code: u16,
    },
    Silence {
        ms: u64,
    },
    Pause {
        ms: u64,
    },
    Close {
        code: u16,
    },
    Cut,
    Call {
        name: String,
        operation: Value,
    },
    Result {
        name: String,
        #[serde(default)]
        ok: Value,
        error: Option<String>,
        retry_after_ms: Option<u64>,
    },
    Subscribe {
        name: String,
        subscription: Value,
    },
    Take {
        name: String,
        items: Vec<Value>,
    },
    End {
        name: String,
        error: Option<String>,
        retry_after_ms: Option<u64>,
    },
    Cancel {
        name: String,
    },
    CloseClient,
    AbortClient,
    Stopped,
    State {
        state: String,
    },
    Repeat {
        count: Value,
        variable: String,
        steps: Vec<Self>,
    },
}
