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
    pub(crate) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }

    pub(crate) fn as_base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

#[derive(Debug, Default)]
pub(super) struct VerifiedTokens(Mutex<HashMap<TokenDigest, Arc<Subject>>>);

impl VerifiedTokens {
    pub(super) fn find(&self, digest: &TokenDigest) -> Option<Arc<Subject>> {
        self.lock().get(digest).cloned()
    }

    pub(super) fn insert(&self, digest: TokenDigest, subject: &Arc<Subject>) {
        let mut tokens = self.lock();
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert(digest, Arc::clone(subject));
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenDigest, Arc<Subject>>> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
