//! Tokens that were verified, by their hash: a client presents the same token again and again, and
//! checking a signature takes as long as dozens of adds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use super::subject::Subject;

/// Tokens that are remembered at most: as many as there are sockets by default. If there are more,
/// all are forgotten.
const MAX_TOKENS: usize = 10_000;

/// The SHA-256 of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenDigest(pub(super) [u8; 32]);

impl TokenDigest {
    pub(crate) fn of(token: impl AsRef<[u8]>) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_ref()).as_ref());
        Self(bytes)
    }

    pub(crate) fn as_base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

#[derive(Debug, Default)]
pub(super) struct VerifiedTokens(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    tokens: HashMap<TokenDigest, Arc<Subject>>,
    generation: Generation,
}

/// Counts how often all tokens were forgotten.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl VerifiedTokens {
    pub(super) fn find(&self, digest: &TokenDigest) -> Option<Arc<Subject>> {
        self.lock().tokens.get(digest).cloned()
    }

    pub(super) fn generation(&self) -> Generation {
        self.lock().generation
    }

    /// Remembers a token whose verification began in a generation, unless keys have changed since.
    pub(super) fn insert(
        &self,
        digest: TokenDigest,
        subject: &Arc<Subject>,
        generation: Generation,
    ) {
        let mut remembered = self.lock();
        if remembered.generation != generation {
            return;
        }
        if remembered.tokens.len() >= MAX_TOKENS {
            remembered.tokens.clear();
        }
        remembered.tokens.insert(digest, Arc::clone(subject));
    }

    /// Forgets all tokens, and those that are being verified.
    pub(super) fn clear(&self) {
        let mut remembered = self.lock();
        remembered.tokens.clear();
        remembered.generation.0 += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_old_keys_verified_is_not_remembered() {
        let tokens = VerifiedTokens::default();
        let (digest, subject) = (TokenDigest::of("t"), Arc::new(Subject::nobody()));
        let generation = tokens.generation();
        tokens.clear();
        tokens.insert(digest, &subject, generation);
        assert!(tokens.find(&digest).is_none());
        tokens.insert(digest, &subject, tokens.generation());
        assert!(tokens.find(&digest).is_some());
    }
}
