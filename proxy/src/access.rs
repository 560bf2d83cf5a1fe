//! Who may use the server: everybody, or whomever a policy admits.
//!
//! A policy can be replaced while the server runs, and tokens can be revoked. Sessions learn of both,
//! and look at their token again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::auth::{AuthPolicy, Authenticator, RevokedTokens};

/// Time that a client has for its hello if the server has a policy: enough for a slow line, and for
/// asking an issuer for a token.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the message with the hello, if the server has a policy: those of the longest token, and
/// of some requests after it.
pub(crate) const MAX_HELLO_BYTES: usize = 64 * 1024;

/// The access of all sessions.
#[derive(Debug)]
pub(crate) struct AccessControl(Option<watch::Sender<Arc<Authenticator>>>);

/// Tells a session that the policy, or what is revoked, has changed.
pub(crate) type AccessChanges = watch::Receiver<Arc<Authenticator>>;

impl AccessControl {
    /// Without a policy, everybody may do everything.
    pub(crate) fn new(policy: Option<AuthPolicy>) -> Self {
        let sender = |policy| watch::channel(Arc::new(Authenticator::new(policy))).0;
        Self(policy.map(sender))
    }

    pub(crate) const fn has_policy(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the authenticator of now; `None` if the server has no policy.
    pub(crate) fn authenticator(&self) -> Option<Arc<Authenticator>> {
        self.0.as_ref().map(|sender| Arc::clone(&sender.borrow()))
    }

    /// Returns what reports changes from now on; `None` if the server has no policy.
    pub(crate) fn changes(&self) -> Option<AccessChanges> {
        self.0.as_ref().map(watch::Sender::subscribe)
    }

    /// Replaces the policy. Returns `false` if the server has none.
    pub(crate) fn replace(&self, policy: AuthPolicy) -> bool {
        let Some(sender) = &self.0 else { return false };
        let authenticator = Authenticator::new(policy);
        authenticator.take_over(&sender.borrow());
        sender.send_replace(Arc::new(authenticator));
        true
    }

    /// Replaces the list of revoked tokens.
    pub(crate) fn set_revoked(&self, revoked: RevokedTokens) {
        if let Some(sender) = &self.0 {
            let set = |authenticator: &mut Arc<Authenticator>| authenticator.set_revoked(revoked);
            sender.send_if_modified(set);
        }
    }
}
