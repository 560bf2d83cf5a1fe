//! Verifying a JSON Web Token: its key, its signature, its claims.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::claims::Claims;
use super::key_set::{Algorithm, KeySet, VerificationKey};
use super::policy::AuthPolicy;
use super::signature;
use super::token_error::TokenError;

/// What is read of a token's header before its signature is verified: which key it claims.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Whether there are extensions that must be understood (RFC 7515, section 4.1.11). None is.
    #[serde(default, rename = "crit", deserialize_with = "is_present")]
    has_extensions: bool,
}

/// A verified token.
pub(super) struct Verified {
    pub(super) claims: Claims,
    pub(super) key_id: Option<String>,
}

/// Verifies a token with one of these keys.
pub(super) fn verify(
    token: &str,
    keys: &[&KeySet],
    policy: &AuthPolicy,
    now: SystemTime,
) -> Result<Verified, TokenError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    // A fourth part would make the second no base64url.
    let (header, signature) = (Header::parse(&bytes(header)?)?, bytes(signature)?);
    if header.alg.eq_ignore_ascii_case("none") {
        return Err(TokenError::Unsigned);
    }
    let algorithm: Algorithm = header
        .alg
        .parse()
        .map_err(|_| TokenError::UnknownAlgorithm)?;
    if header.has_extensions {
        return Err(TokenError::Malformed);
    }
    let key = choose_key(keys, header.kid.as_deref())?;
    if key.algorithm != algorithm {
        return Err(TokenError::WrongAlgorithm);
    }
    if !signature::is_valid(algorithm, &key.key, signed.as_bytes(), &signature) {
        return Err(TokenError::Signature);
    }
    let claims: Claims = decode(&bytes(claims)?)?;
    policy.check_claims(&claims, now)?;
    Ok(Verified {
        claims,
        key_id: key.id.clone(),
    })
}

fn is_present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

impl Header {
    /// Parses an object: serde would also take a list of the values.
    fn parse(json: &[u8]) -> Result<Self, TokenError> {
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(TokenError::Malformed);
        }
        decode(json)
    }
}

/// Decodes JSON. Its text must be UTF-8 (RFC 7519, section 7.2), which serde_json checks only in what
/// it keeps.
fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, TokenError> {
    let json = std::str::from_utf8(json).map_err(|_| TokenError::Malformed)?;
    serde_json::from_str(json).map_err(|_| TokenError::Malformed)
}

fn bytes(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)
}

/// Returns the key with this id. A token without one may only mean the only key.
fn choose_key<'k>(
    keys: &[&'k KeySet],
    id: Option<&str>,
) -> Result<&'k VerificationKey, TokenError> {
    let mut all = keys.iter().flat_map(|set| set.iter());
    match id {
        Some(id) => all
            .find(|key| key.id.as_deref() == Some(id))
            .ok_or(TokenError::UnknownKey),
        None => match (all.next(), all.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(TokenError::UnknownKey),
            (Some(_), Some(_)) => Err(TokenError::NoKeyId),
        },
    }
}
