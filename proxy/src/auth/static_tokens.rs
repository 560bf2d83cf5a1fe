//! Static tokens, for machines. The server keeps their SHA-256 alone.

use std::collections::HashMap;

use super::verified_tokens::TokenDigest;

/// A static token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticToken {
    /// Who presents it.
    pub subject: String,
    /// The SHA-256 of the token. A token must be random: 128 bits at least.
    pub sha256: [u8; 32],
    /// The roles of its subject.
    pub roles: Vec<String>,
}

/// All static tokens, by their hash: looking one up takes the same time whatever a token begins with.
#[derive(Debug, Clone, Default)]
pub(super) struct StaticTokens(HashMap<TokenDigest, StaticToken>);

impl StaticTokens {
    pub(super) fn find(&self, digest: &TokenDigest) -> Option<&StaticToken> {
        self.0.get(digest)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &StaticToken> {
        self.0.values()
    }
}

impl FromIterator<StaticToken> for StaticTokens {
    fn from_iter<I: IntoIterator<Item = StaticToken>>(tokens: I) -> Self {
        let keyed = tokens
            .into_iter()
            .map(|token| (TokenDigest(token.sha256), token));
        Self(keyed.collect())
    }
}
