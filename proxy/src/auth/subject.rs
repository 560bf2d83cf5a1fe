//! The subject of a token: who a client is, and what it may do.

use std::sync::Arc;
use std::time::SystemTime;

use crate::rights::Rights;

/// A client's identity.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// `sub`. `None` if the client is anonymous.
    pub(crate) name: Option<Arc<str>>,
    /// `iss`: names are unique within an issuer.
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) rights: Rights,
    pub(crate) token: TokenFacts,
}

/// What a server has to know of a token after it was verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenFacts {
    /// `jti`
    pub(crate) id: Option<String>,
    /// `kid`
    pub(crate) key_id: Option<String>,
    /// `iat`
    pub(crate) issued_at: Option<SystemTime>,
    /// `nbf`
    pub(crate) not_before: Option<SystemTime>,
    /// `exp`
    pub(crate) renew_before: Option<SystemTime>,
    /// `exp` and the leeway: when the server ends it.
    pub(crate) expires_at: Option<SystemTime>,
}

impl Subject {
    /// Returns the subject of a client that has not said hello yet: it may do nothing.
    pub(crate) fn nobody() -> Self {
        Self {
            name: None,
            issuer: None,
            rights: Rights::default(),
            token: TokenFacts::default(),
        }
    }

    /// Returns whether a token of another subject names the same one.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        (&self.name, &self.issuer) == (&other.name, &other.issuer)
    }

    /// Returns the subject of every client of a server without authentication.
    pub(crate) fn everybody() -> Self {
        Self {
            name: None,
            issuer: None,
            rights: Rights::everything(),
            token: TokenFacts::default(),
        }
    }
}
