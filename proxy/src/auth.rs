//! Authentication: from a token to the subject that it names.
//!
//! A token is a JWT (RFC 7519), signed with a key that the server knows, or a static token, of which
//! the server knows the hash. The algorithm belongs to the key: what a token says of its algorithm
//! must agree with it, and never decides.

mod claims;
mod jwks;
mod jwt;
mod key_set;
mod policy;
mod revocation;
mod signature;
mod static_tokens;
mod subject;
mod token_error;
mod verified_tokens;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use tokio::sync::Notify;

pub(crate) use self::jwks::{FetchSchedule, fetch};
pub use self::jwks::{JwksSource, JwksSourceError};
pub use self::key_set::{Algorithm, KeyError, KeySet, VerificationKey};
pub use self::policy::{AuthPolicy, DEFAULT_MAX_LIFE, DEFAULT_ROLES_CLAIM, PolicyError};
pub use self::revocation::{Revocation, RevokedTokens};
pub use self::static_tokens::StaticToken;
pub(crate) use self::subject::Subject;
pub(crate) use self::token_error::TokenError;
pub(crate) use self::verified_tokens::TokenDigest;
use self::verified_tokens::VerifiedTokens;

/// Longest token in bytes: more than any issuer's, and small enough to be verified at once.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Why a policy does not accept a token: a word, and a sentence. Nothing of the token is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedToken(TokenError);

impl fmt::Display for RefusedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for RefusedToken {}

impl AuthPolicy {
    /// Checks a token as a server with this policy does. Returns its subject.
    ///
    /// # Errors
    ///
    /// Why the server would close the socket with 4401.
    pub fn check_token(
        &self,
        token: &str,
        revoked: &RevokedTokens,
    ) -> Result<String, RefusedToken> {
        let authenticator = Authenticator::new(self.clone());
        authenticator.set_revoked(revoked.clone());
        let subject = authenticator
            .verify(token, SystemTime::now())
            .map_err(RefusedToken)?;
        Ok(subject.name.as_deref().unwrap_or_default().to_owned())
    }
}

/// Verifies tokens by one policy. A new policy is a new authenticator.
#[derive(Debug)]
pub(crate) struct Authenticator {
    policy: AuthPolicy,
    /// Keys that were fetched, beside those of the policy.
    fetched: RwLock<Arc<KeySet>>,
    /// Notified when a token names a key that is unknown, and may be known to the issuer.
    unknown_key: Notify,
    revoked: RwLock<Arc<RevokedTokens>>,
    verified: VerifiedTokens,
    anonymous: Option<Arc<Subject>>,
}

impl Authenticator {
    pub(crate) fn new(policy: AuthPolicy) -> Self {
        let anonymous = policy.anonymous_subject().map(Arc::new);
        Self {
            fetched: RwLock::default(),
            unknown_key: Notify::new(),
            revoked: RwLock::default(),
            verified: VerifiedTokens::default(),
            anonymous,
            policy,
        }
    }

    /// Returns the subject of clients without a token; `None` if a token is required.
    pub(crate) fn anonymous(&self) -> Option<&Arc<Subject>> {
        self.anonymous.as_ref()
    }

    /// Returns the subject that a token names.
    ///
    /// A token that was verified before costs a hash and a look-up.
    pub(crate) fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Subject>, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong(token.len()));
        }
        let digest = TokenDigest::of(token);
        let subject = match self.verified.find(&digest) {
            Some(subject) => subject,
            None => {
                let generation = self.verified.generation();
                let subject = Arc::new(self.verify_anew(token, &digest, now)?);
                self.verified.insert(digest, &subject, generation);
                subject
            }
        };
        self.policy.check_time(&subject, now)?;
        if self.revoked().contain(&subject) {
            return Err(TokenError::Revoked);
        }
        Ok(subject)
    }

    fn verify_anew(
        &self,
        token: &str,
        digest: &TokenDigest,
        now: SystemTime,
    ) -> Result<Subject, TokenError> {
        if let Some(token) = self.policy.find_static_token(digest) {
            return Ok(self.policy.static_subject(token));
        }
        let fetched = Arc::clone(&self.fetched.read().unwrap_or_else(PoisonError::into_inner));
        let keys = [self.policy.verification_keys(), &fetched];
        let verified = jwt::verify(token, &keys, &self.policy, now);
        if matches!(verified, Err(TokenError::UnknownKey)) {
            self.unknown_key.notify_one();
        }
        self.policy.subject(&verified?)
    }

    /// Returns where the issuer's keys are fetched.
    pub(crate) fn jwks(&self) -> Option<&JwksSource> {
        self.policy.jwks_source()
    }

    /// Returns what is notified when a token names a key that is unknown.
    pub(crate) fn unknown_key(&self) -> &Notify {
        &self.unknown_key
    }

    /// Takes over from the authenticator of an earlier policy what the policy does not hold.
    pub(crate) fn take_over(&self, earlier: &Self) {
        self.set_revoked((*earlier.revoked()).clone());
        // The keys of another issuer are not trusted any more.
        if self.jwks() != earlier.jwks() {
            return;
        }
        let fetched = earlier
            .fetched
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        self.set_fetched_keys((**fetched).clone());
    }

    /// Returns whether there are keys that were fetched.
    pub(crate) fn has_fetched_keys(&self) -> bool {
        let fetched = self.fetched.read();
        !fetched.unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Replaces the keys that were fetched. Tokens that were verified with others are verified anew.
    pub(crate) fn set_fetched_keys(&self, keys: KeySet) {
        *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.verified.clear();
    }

    /// Replaces the list of revoked tokens. Returns whether it has changed.
    pub(crate) fn set_revoked(&self, revoked: RevokedTokens) -> bool {
        let mut current = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        let has_changed = **current != revoked;
        if has_changed {
            *current = Arc::new(revoked);
        }
        has_changed
    }

    fn revoked(&self) -> Arc<RevokedTokens> {
        Arc::clone(&self.revoked.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
