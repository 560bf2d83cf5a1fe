//! Tokens of the clients: an issuer signs them, they end soon, and Redis revokes them.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The hash of revocations.
pub(crate) const REVOKED: &str = "streamgate:revoked";

const SECRET: &str = "a secret of at least thirty-two bytes";

const SETTINGS: &str = r#"
[auth]
audience = "streamgate"
leeway_s = 0
[[auth.keys]]
id = "k"
algorithm = "HS256"
secret_file = "secret"
[auth.revocation]
redis_key = "streamgate:revoked"
[roles.user]
rights = [{ allow = ["read", "add", "trim", "consume", "claim", "manage"], streams = ["*"] }]
"#;

/// Lives of tokens in ms: longer than most faults, so that a token that begins a connection is
/// still valid when the server sees it, and shorter than a run.
const LIVES_MS: std::ops::Range<u64> = 4_000..10_000;

/// Whether the clients of a run have tokens: those of every second seed without evictions.
pub(crate) fn are_used(seed: u64) -> bool {
    seed.is_multiple_of(4)
}

/// Signs the tokens of all clients, and has the settings of the proxies.
#[derive(Debug)]
pub(crate) struct Issuer {
    folder: TempDir,
    issued: AtomicUsize,
    subjects: AtomicUsize,
}

impl Issuer {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("secret"), SECRET)?;
        fs::write(folder.path().join("streamgate.toml"), SETTINGS)?;
        Ok(Self {
            folder,
            issued: AtomicUsize::new(0),
            subjects: AtomicUsize::new(0),
        })
    }

    /// Returns the settings of the proxies.
    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.path().join("streamgate.toml")
    }

    /// Returns the number of another subject.
    pub(crate) fn new_subject(&self) -> usize {
        self.subjects.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn subjects(&self) -> usize {
        self.subjects.load(Ordering::Relaxed)
    }

    /// Returns how many tokens were issued.
    pub(crate) fn issued(&self) -> usize {
        self.issued.load(Ordering::Relaxed)
    }

    /// Returns a new token of a subject.
    pub(crate) fn token(&self, subject: usize) -> String {
        self.issued.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now = now.as_secs_f64();
        let life = fastrand::u64(LIVES_MS) as f64 / 1_000.0;
        let claims = json!({
            "sub": name(subject),
            "aud": "streamgate",
            "iat": now,
            "exp": now + life,
            "roles": ["user"],
        });
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = json!({"alg": "HS256", "kid": "k"});
        let message = format!("{}.{}", part(header), part(claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// Returns the field of a revocation: of one subject, or of all.
pub(crate) fn field(subject: Option<usize>) -> String {
    subject.map_or_else(
        || "all".to_owned(),
        |subject| format!("sub:{}", name(subject)),
    )
}

fn name(subject: usize) -> String {
    format!("client-{subject}")
}
