//! The keys of `[auth]`.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

/// `[auth]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthSection {
    pub(super) audience: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) leeway_s: Option<Spanned<u64>>,
    pub(super) max_life_s: Option<Spanned<u64>>,
    pub(super) roles_claim: Option<String>,
    /// The role of clients without a token.
    pub(super) anonymous: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) keys: Vec<Spanned<KeySection>>,
    pub(super) jwks: Option<Spanned<JwksSection>>,
    #[serde(default)]
    pub(super) static_tokens: Vec<Spanned<StaticTokenSection>>,
    pub(super) revocation: Option<Spanned<RevocationSection>>,
}

/// `[[auth.keys]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySection {
    pub(super) id: Option<String>,
    pub(super) algorithm: String,
    /// A public key in PEM.
    pub(super) file: Option<PathBuf>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) secret_env: Option<String>,
    /// Refused, with the reason.
    pub(super) secret: Option<IgnoredAny>,
}

/// `[auth.jwks]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwksSection {
    pub(super) file: Option<PathBuf>,
    pub(super) url: Option<String>,
    /// The authorities that may have issued the certificate of `url`, in PEM.
    pub(super) ca_file: Option<PathBuf>,
}

/// `[[auth.static_tokens]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StaticTokenSection {
    pub(super) subject: String,
    /// In hexadecimal.
    pub(super) sha256: Option<String>,
    pub(super) roles: Vec<String>,
    /// Refused, with the reason.
    pub(super) token: Option<IgnoredAny>,
}

/// `[auth.revocation]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevocationSection {
    pub(super) file: Option<PathBuf>,
    /// The hash of Redis with further revocations.
    pub(super) redis_key: Option<String>,
}
