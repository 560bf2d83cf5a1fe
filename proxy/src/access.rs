//! Who may use the server: everybody, or whomever a policy admits.
//!
//! A policy can be replaced while the server runs, and tokens can be revoked. Sessions learn of both,
//! and look at their token again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::auth::{
    AuthPolicy, Authenticator, FetchSchedule, JwksSource, KeyFetches, RevokedTokens, fetch,
};
use crate::reload_errors::{ReloadErrors, ReloadSource};

/// Time that a client has for its hello if the server has a policy: enough for a slow line, and for
/// asking an issuer for a token.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the message with the hello, if the server has a policy: those of the longest token, and
/// of some requests after it.
pub(crate) const MAX_HELLO_BYTES: usize = 64 * 1024;

/// Longest time that a token which names an unknown key waits for the issuer's keys: less than the
/// 10 s that clients wait for a welcome.
pub(crate) const KEY_WAIT: Duration = Duration::from_secs(8);

/// The access of all sessions.
#[derive(Debug)]
pub(crate) struct AccessControl {
    /// `None` without a policy: everybody may do everything.
    authenticator: Option<watch::Sender<Arc<Authenticator>>>,
    key_fetches: KeyFetches,
}

/// Tells a session that the policy, or what is revoked, has changed.
pub(crate) type AccessChanges = watch::Receiver<Arc<Authenticator>>;

impl AccessControl {
    pub(crate) fn new(policy: Option<AuthPolicy>) -> Self {
        let sender = |policy| watch::channel(Arc::new(Authenticator::new(policy))).0;
        Self {
            authenticator: policy.map(sender),
            key_fetches: KeyFetches::new(),
        }
    }

    pub(crate) const fn has_policy(&self) -> bool {
        self.authenticator.is_some()
    }

    /// Returns the authenticator of now; `None` if the server has no policy.
    pub(crate) fn authenticator(&self) -> Option<Arc<Authenticator>> {
        let sender = self.authenticator.as_ref();
        sender.map(|sender| Arc::clone(&sender.borrow()))
    }

    /// Returns what reports changes from now on; `None` if the server has no policy.
    pub(crate) fn changes(&self) -> Option<AccessChanges> {
        self.authenticator.as_ref().map(watch::Sender::subscribe)
    }

    /// Returns the fetches of the issuer's keys.
    pub(crate) fn key_fetches(&self) -> &KeyFetches {
        &self.key_fetches
    }

    /// Returns whether the policy has an issuer of which no keys are known.
    pub(crate) fn lacks_keys(&self) -> bool {
        let sender = self.authenticator.as_ref();
        sender.is_some_and(|sender| sender.borrow().lacks_keys())
    }

    /// Replaces the policy. Returns `false` if the server has none.
    pub(crate) fn replace(&self, policy: AuthPolicy) -> bool {
        let Some(sender) = &self.authenticator else {
            return false;
        };
        let authenticator = Authenticator::new(policy);
        // In one step: keys that are fetched meanwhile go to the one or to the other.
        sender.send_modify(|current| {
            authenticator.take_over(current);
            *current = Arc::new(authenticator);
        });
        true
    }

    /// Fetches the keys of the policy's issuer, if it has one. Never returns while there is a policy.
    pub(crate) async fn fetch_keys(&self, errors: &ReloadErrors) {
        let Some(sender) = &self.authenticator else {
            return;
        };
        let mut changes = sender.subscribe();
        // What is fetched now, and the set that was fetched last.
        let mut current: Option<(JwksSource, FetchSchedule, Vec<u8>)> = None;
        loop {
            let authenticator = Arc::clone(&changes.borrow_and_update());
            let Some(source) = authenticator.jwks() else {
                current = None;
                errors.set(ReloadSource::Jwks, None);
                match changes.changed().await {
                    Ok(()) => continue,
                    Err(_) => return,
                }
            };
            if current
                .as_ref()
                .is_none_or(|(fetched, ..)| fetched != source)
            {
                current = Some((source.clone(), FetchSchedule::new(source), Vec::new()));
            }
            let Some((_, schedule, json)) = &mut current else {
                continue;
            };
            tokio::select! {
                () = schedule.due(self.key_fetches.asked()) => {}
                _ = changes.changed() => continue,
            }
            let began = Instant::now();
            self.key_fetches.begin();
            let fetched = fetch(source).await;
            schedule.fetched(began, fetched.as_ref().ok().map(|fetched| fetched.max_age));
            let error = match fetched {
                // A policy that came and went may have left without them.
                Ok(fetched) if fetched.json == *json && !sender.borrow().lacks_keys() => None,
                Ok(fetched) => {
                    tracing::info!(url = source.url(), "keys of the issuer fetched");
                    *json = fetched.json;
                    // Sessions look at their tokens again: a key may be gone.
                    sender.send_if_modified(|authenticator| {
                        let is_same = authenticator.jwks() == Some(source);
                        if is_same {
                            authenticator.set_fetched_keys(fetched.keys, source.clone());
                        }
                        is_same
                    });
                    None
                }
                Err(error) => {
                    // The owner has named another source, and its certificate is not trusted: the
                    // keys of the source before are not trusted any more either.
                    if error.is_untrusted() {
                        sender.send_if_modified(|authenticator| {
                            authenticator.jwks() == Some(source)
                                && authenticator.forget_keys_of_others(source)
                        });
                    }
                    let error = format!("cannot fetch {}: {error}", source.url());
                    let has_keys = !sender.borrow().lacks_keys();
                    tracing::error!(%error, has_keys, "the last good keys stay in force");
                    Some(error)
                }
            };
            // If the source has changed meanwhile, nobody knows yet what that one has.
            let has_failed = error.is_some() || sender.borrow().jwks() != Some(source);
            errors.set(ReloadSource::Jwks, error);
            self.key_fetches.end(has_failed);
        }
    }

    /// Replaces the list of revoked tokens.
    pub(crate) fn set_revoked(&self, revoked: RevokedTokens) {
        if let Some(sender) = &self.authenticator {
            let set = |authenticator: &mut Arc<Authenticator>| authenticator.set_revoked(revoked);
            sender.send_if_modified(set);
        }
    }
}
