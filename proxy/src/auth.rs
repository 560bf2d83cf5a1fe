//! Authentication: from a token to the subject that it names.
//!
//! A token is a JWT (RFC 7519), signed with a key that the server knows, or a static token, of which
//! the server knows the hash. The algorithm belongs to the key: what a token says of its algorithm
//! must agree with it, and never decides.

mod claims;
mod jwks;
mod jwt;
mod key_fetches;
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

pub(crate) use self::jwks::{FetchSchedule, fetch};
pub use self::jwks::{JwksSource, JwksSourceError};
pub(crate) use self::key_fetches::{FetchOutcome, KeyFetches, NextFetch};
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
    fetched: RwLock<Arc<FetchedKeys>>,
    revoked: RwLock<Arc<RevokedTokens>>,
    verified: VerifiedTokens,
    anonymous: Option<Arc<Subject>>,
}

/// Keys that were fetched, and from where.
#[derive(Debug, Default)]
struct FetchedKeys {
    source: Option<JwksSource>,
    keys: KeySet,
}

impl Authenticator {
    pub(crate) fn new(policy: AuthPolicy) -> Self {
        let anonymous = policy.anonymous_subject().map(Arc::new);
        Self {
            fetched: RwLock::default(),
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
        let fetched = self.fetched();
        let keys = [self.policy.verification_keys(), &fetched.keys];
        match jwt::verify(token, &keys, &self.policy, now) {
            // Of the keys with which it was verified: others may be there by now.
            Err(TokenError::UnknownKey) if self.jwks().is_some() && fetched.keys.is_empty() => {
                Err(TokenError::NoKeys)
            }
            verified => self.policy.subject(&verified?),
        }
    }

    /// Returns where the issuer's keys are fetched.
    pub(crate) fn jwks(&self) -> Option<&JwksSource> {
        self.policy.jwks_source()
    }

    /// Takes over from the authenticator of an earlier policy what the policy does not hold.
    ///
    /// Keys of another source stay until those of the new one are there, so that a changed URL or
    /// authority ends no socket.
    pub(crate) fn take_over(&self, earlier: &Self) {
        self.set_revoked((*earlier.revoked()).clone());
        if self.jwks().is_some() {
            self.replace_fetched(earlier.fetched());
        }
    }

    /// Returns whether the policy has an issuer of which no keys are known.
    pub(crate) fn lacks_keys(&self) -> bool {
        self.jwks().is_some() && self.fetched().keys.is_empty()
    }

    /// Replaces the keys that were fetched.
    pub(crate) fn set_fetched_keys(&self, keys: KeySet, source: JwksSource) {
        let source = Some(source);
        self.replace_fetched(Arc::new(FetchedKeys { source, keys }));
    }

    /// Forgets keys that came from another source than this one. Returns whether there were any.
    pub(crate) fn forget_keys_of_others(&self, source: &JwksSource) -> bool {
        let fetched = self.fetched();
        let are_of_others = fetched.source.as_ref().is_some_and(|of| of != source);
        if are_of_others {
            self.replace_fetched(Arc::default());
        }
        are_of_others
    }

    /// Tokens that were verified with other keys are verified anew.
    fn replace_fetched(&self, fetched: Arc<FetchedKeys>) {
        *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = fetched;
        self.verified.clear();
    }

    fn fetched(&self) -> Arc<FetchedKeys> {
        Arc::clone(&self.fetched.read().unwrap_or_else(PoisonError::into_inner))
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
