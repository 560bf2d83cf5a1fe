//! Revoked tokens: those of a subject, with an id or a key, or all, that were issued before a time.

use std::time::SystemTime;

use super::subject::Subject;

/// Which tokens are revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// Those of a subject.
    Subject(String),
    /// The one with this `jti`.
    TokenId(String),
    /// Those signed with the key of this `kid`.
    Key(String),
    /// All.
    All,
}

/// All revocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedTokens(Vec<(Revocation, SystemTime)>);

impl RevokedTokens {
    /// Builds a list. Each revocation is of tokens that were issued before a time; one without `iat`
    /// counts as issued long ago.
    pub fn new(revocations: impl IntoIterator<Item = (Revocation, SystemTime)>) -> Self {
        Self(revocations.into_iter().collect())
    }

    pub(super) fn contain(&self, subject: &Subject) -> bool {
        self.0.iter().any(|(revocation, before)| {
            let issued_at = subject.token.issued_at;
            issued_at.is_none_or(|issued| issued < *before) && revocation.matches(subject)
        })
    }
}

impl Revocation {
    fn matches(&self, subject: &Subject) -> bool {
        match self {
            Self::Subject(name) => subject.name.as_deref() == Some(name),
            Self::TokenId(id) => subject.token.id.as_ref() == Some(id),
            Self::Key(id) => subject.token.key_id.as_ref() == Some(id),
            // A client without a token has none that could be revoked.
            Self::All => subject.name.is_some(),
        }
    }
}
