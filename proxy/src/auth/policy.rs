//! What a server requires of tokens, and which rights they give.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use super::claims::Claims;
use super::jwks::JwksSource;
use super::jwt::Verified;
use super::key_set::KeySet;
use super::static_tokens::{StaticToken, StaticTokens};
use super::subject::{Subject, TokenFacts};
use super::token_error::TokenError;
use crate::rights::{Rights, Role};

/// Default leeway: clocks that are set over the network differ by less.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// Default of [`AuthPolicy::max_life`]: a day.
pub const DEFAULT_MAX_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Default of [`AuthPolicy::roles_claim`].
pub const DEFAULT_ROLES_CLAIM: &str = "roles";

/// Which tokens a server accepts, and what their subjects may do.
#[derive(Debug, Clone)]
pub struct AuthPolicy {
    keys: KeySet,
    jwks: Option<JwksSource>,
    static_tokens: StaticTokens,
    audience: Option<String>,
    issuer: Option<String>,
    leeway: Duration,
    max_life: Duration,
    roles_claim: String,
    roles: BTreeMap<String, Role>,
    anonymous: Option<String>,
}

/// Why a policy is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError(String);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

impl AuthPolicy {
    /// Builds a policy that accepts no token and no client without one.
    pub fn new() -> Self {
        Self {
            keys: KeySet::default(),
            jwks: None,
            static_tokens: StaticTokens::default(),
            audience: None,
            issuer: None,
            leeway: DEFAULT_LEEWAY,
            max_life: DEFAULT_MAX_LIFE,
            roles_claim: DEFAULT_ROLES_CLAIM.to_owned(),
            roles: BTreeMap::new(),
            anonymous: None,
        }
    }

    /// Accepts tokens that are signed with one of these keys, for this audience.
    #[must_use]
    pub fn keys(mut self, keys: KeySet, audience: impl Into<String>) -> Self {
        self.keys = keys;
        self.audience = Some(audience.into());
        self
    }

    /// Accepts tokens that are signed with a key that an issuer publishes, for this audience.
    /// [`Server::serve`](crate::Server::serve) fetches the keys.
    #[must_use]
    pub fn jwks(mut self, source: JwksSource, audience: impl Into<String>) -> Self {
        self.jwks = Some(source);
        self.audience = Some(audience.into());
        self
    }

    /// Accepts these static tokens.
    #[must_use]
    pub fn static_tokens(mut self, tokens: impl IntoIterator<Item = StaticToken>) -> Self {
        self.static_tokens = tokens.into_iter().collect();
        self
    }

    /// Requires that tokens are of this issuer (`iss`). Default: any.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets by how much the clocks of issuer and server may differ. Default: 30 s.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets the longest time for which a token may be valid from now on. Default: a day.
    #[must_use]
    pub fn max_life(mut self, max_life: Duration) -> Self {
        self.max_life = max_life;
        self
    }

    /// Sets the claim that names a subject's roles. Default: `roles`.
    #[must_use]
    pub fn roles_claim(mut self, claim: impl Into<String>) -> Self {
        self.roles_claim = claim.into();
        self
    }

    /// Adds a role.
    #[must_use]
    pub fn role(mut self, name: impl Into<String>, role: Role) -> Self {
        self.roles.insert(name.into(), role);
        self
    }

    /// Accepts clients without a token, with this role. Default: they are refused.
    #[must_use]
    pub fn anonymous(mut self, role: impl Into<String>) -> Self {
        self.anonymous = Some(role.into());
        self
    }

    /// Checks that every role that is named exists.
    ///
    /// # Errors
    ///
    /// The first name of a role that does not exist.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let of_tokens = self.static_tokens.iter().flat_map(|token| &token.roles);
        let named = of_tokens.chain(&self.anonymous);
        match named
            .into_iter()
            .find(|role| !self.roles.contains_key(*role))
        {
            Some(role) => {
                let known: Vec<_> = self.roles.keys().map(String::as_str).collect();
                Err(PolicyError(format!(
                    "unknown role '{role}'; the roles are: {}",
                    known.join(", ")
                )))
            }
            None => Ok(()),
        }
    }

    pub(super) fn jwks_source(&self) -> Option<&JwksSource> {
        self.jwks.as_ref()
    }

    pub(super) fn verification_keys(&self) -> &KeySet {
        &self.keys
    }

    pub(super) fn find_static_token(
        &self,
        digest: &super::verified_tokens::TokenDigest,
    ) -> Option<&StaticToken> {
        self.static_tokens.find(digest)
    }

    /// Checks the claims that do not depend on rights.
    pub(super) fn check_claims(&self, claims: &Claims, now: SystemTime) -> Result<(), TokenError> {
        claims.subject()?;
        let expires_at = claims.time("exp")?.ok_or(TokenError::NoClaim("exp"))?;
        claims.time("nbf")?;
        claims.time("iat")?;
        let audience = self.audience.as_deref().unwrap_or_default();
        if !claims.has("aud") {
            return Err(TokenError::NoClaim("aud"));
        }
        if !claims.contains("aud", audience) {
            return Err(TokenError::Audience);
        }
        if let Some(issuer) = &self.issuer
            && claims.text("iss") != Some(issuer)
        {
            return Err(TokenError::Issuer);
        }
        let left = expires_at.duration_since(now).unwrap_or_default();
        if left > self.max_life + self.leeway {
            return Err(TokenError::LivesTooLong(self.max_life));
        }
        Ok(())
    }

    /// Checks the times of a token, whenever it is presented.
    pub(super) fn check_time(&self, subject: &Subject, now: SystemTime) -> Result<(), TokenError> {
        let facts = &subject.token;
        if let Some(end) = facts.expires_at
            && let Ok(ago) = now.duration_since(end)
        {
            return Err(TokenError::Expired(ago + self.leeway));
        }
        if let Some(begin) = facts.not_before
            && let Ok(left) = begin.duration_since(now)
            && left > self.leeway
        {
            return Err(TokenError::NotYetValid(left));
        }
        Ok(())
    }

    /// Returns the subject of a verified token.
    pub(super) fn subject(&self, verified: &Verified) -> Result<Subject, TokenError> {
        let claims = &verified.claims;
        let names = claims.names(&self.roles_claim)?;
        // A role that does not exist here gives no rights: issuers serve others too.
        let roles = names.into_iter().filter_map(|name| self.roles.get(name));
        let leeway = |time: SystemTime| time.checked_add(self.leeway).unwrap_or(time);
        Ok(Subject {
            name: Some(claims.subject()?.into()),
            issuer: claims.text("iss").map(Into::into),
            rights: Rights::compile(roles, &|name| claims.text(name)),
            token: TokenFacts {
                id: claims.text("jti").map(str::to_owned),
                key_id: verified.key_id.clone(),
                issued_at: claims.time("iat")?,
                not_before: claims.time("nbf")?,
                renew_before: claims.time("exp")?,
                expires_at: claims.time("exp")?.map(leeway),
            },
        })
    }

    /// Returns the subject of a static token.
    pub(super) fn static_subject(&self, token: &StaticToken) -> Subject {
        let roles = token.roles.iter().filter_map(|name| self.roles.get(name));
        let claim = |name: &str| (name == "sub").then_some(&*token.subject);
        Subject {
            name: Some(token.subject.as_str().into()),
            issuer: None,
            rights: Rights::compile(roles, &claim),
            token: TokenFacts::default(),
        }
    }

    /// Returns the subject of clients without a token.
    pub(super) fn anonymous_subject(&self) -> Option<Subject> {
        let role = self.roles.get(self.anonymous.as_ref()?)?;
        Some(Subject {
            name: None,
            issuer: None,
            rights: Rights::compile([role], &|_| None),
            token: TokenFacts::default(),
        })
    }
}

impl Default for AuthPolicy {
    fn default() -> Self {
        Self::new()
    }
}
