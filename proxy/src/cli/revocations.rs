//! The revocations in force: those of the file and those of the key of Redis together.

use std::sync::{Arc, Mutex, PoisonError};

use streamgate::{RevokedTokens, Server};

/// What a server has revoked. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Revocations(Arc<Mutex<Lists>>);

#[derive(Debug)]
struct Lists {
    server: Server,
    of_file: RevokedTokens,
    of_key: RevokedTokens,
}

impl Revocations {
    pub(super) fn new(server: Server) -> Self {
        Self(Arc::new(Mutex::new(Lists {
            server,
            of_file: RevokedTokens::default(),
            of_key: RevokedTokens::default(),
        })))
    }

    /// Replaces those of the file.
    pub(super) fn set_file(&self, tokens: RevokedTokens) {
        self.set(|lists| lists.of_file = tokens);
    }

    /// Replaces those of the key.
    pub(super) fn set_key(&self, tokens: RevokedTokens) {
        self.set(|lists| lists.of_key = tokens);
    }

    fn set(&self, change: impl FnOnce(&mut Lists)) {
        // Nothing panics under the lock.
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut lists);
        let both = lists.of_file.clone().and(&lists.of_key);
        lists.server.set_revoked_tokens(both);
    }
}
