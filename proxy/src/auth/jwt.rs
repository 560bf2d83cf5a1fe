//! Verifying a JSON Web Token: its key, its signature, its claims.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde::Deserialize;

use super::claims::Claims;
use super::key_set::{Algorithm, KeySet, VerificationKey};
use super::policy::AuthPolicy;
use super::token_error::TokenError;

/// What is read of a token's header before its signature is verified: which key it claims.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, section 4.1.11). None is.
    crit: Option<serde_json::Value>,
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
    let header = header(token)?;
    if header.alg.eq_ignore_ascii_case("none") {
        return Err(TokenError::Unsigned);
    }
    let algorithm: Algorithm = header
        .alg
        .parse()
        .map_err(|_| TokenError::UnknownAlgorithm)?;
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let key = choose_key(keys, header.kid.as_deref())?;
    if key.algorithm != algorithm {
        return Err(TokenError::WrongAlgorithm);
    }
    let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &validation(key.algorithm))
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => TokenError::Signature,
            ErrorKind::InvalidAlgorithm => TokenError::WrongAlgorithm,
            _ => TokenError::Malformed,
        })?
        .claims;
    policy.check_claims(&claims, now)?;
    Ok(Verified {
        claims,
        key_id: key.id.clone(),
    })
}

/// The signature alone: the policy checks all claims in one place.
fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm.for_jwt());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

fn header(token: &str) -> Result<Header, TokenError> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Malformed);
    };
    let json = URL_SAFE_NO_PAD
        .decode(header)
        .map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
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
