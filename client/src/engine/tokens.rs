//! The client's tokens: where they come from, and when a new one is needed.

use std::fmt;

use streamgate_protocol::message::Identity;

use super::time::Millis;

/// The pause before the owner is asked again for a token, if it had none or had an old one.
const RETRY_PAUSE_MS: u64 = 5_000;

/// Where a client's tokens come from.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum TokenSource {
    /// The client has no token.
    #[default]
    None,
    /// One token for the client's life.
    Fixed(String),
    /// The owner has a token for each connection, and a new one before it ends: see
    /// [`SocketAction::RequestToken`](super::SocketAction::RequestToken).
    OnDemand,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed(…)",
            Self::OnDemand => "OnDemand",
        })
    }
}

/// Why an owner has no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// The user is signed out: the client stops with `NOAUTH`.
    SignedOut(String),
    /// There may be a token later: the client asks again.
    Later(String),
}

/// What the engine knows of tokens.
#[derive(Default)]
pub(super) struct Tokens {
    source: TokenSource,
    /// The newest token of the owner.
    current: Option<String>,
    /// The token before, while the server has not accepted the newest.
    before: Option<String>,
    /// The last token that a server refused.
    refused: Option<String>,
    /// How many tokens were refused since a server accepted one.
    refusals: u32,
    /// A server closed with 4403, and no connection has lasted since.
    was_forbidden: bool,
    /// When the owner was asked, if it has not answered.
    requested_at: Option<Millis>,
    /// The current token has yet to be sent on the open socket.
    is_unsent: bool,
    renew_at: Option<Millis>,
    expires_at: Option<Millis>,
}

/// What to do with a token that the owner has returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenUse {
    /// Use it.
    New,
    /// The server knows it already.
    Same,
    /// A server has refused it.
    Refused,
}

impl Tokens {
    pub(super) fn new(source: TokenSource) -> Self {
        let current = match &source {
            TokenSource::Fixed(token) => Some(token.clone()),
            _ => None,
        };
        Self {
            source,
            current,
            ..Self::default()
        }
    }

    /// Returns the token for a hello.
    pub(super) fn for_hello(&mut self) -> Option<String> {
        self.is_unsent = false;
        self.admit();
        self.current.clone()
    }

    /// Returns the token to authenticate with on the open socket, once.
    pub(super) fn take_unsent(&mut self) -> Option<String> {
        if std::mem::take(&mut self.is_unsent) {
            self.current.clone()
        } else {
            None
        }
    }

    /// Returns whether the owner has to be asked before each attempt to connect.
    pub(super) fn is_on_demand(&self) -> bool {
        self.source == TokenSource::OnDemand
    }

    /// Records that the owner is asked. Returns whether it must not answer with an old token.
    pub(super) fn request(&mut self, is_renewal: bool, now: Millis) -> bool {
        self.requested_at = Some(now);
        self.renew_at = None;
        is_renewal || self.refusals > 0
    }

    /// Returns whether the owner was asked after a time, and has not answered.
    pub(super) fn is_requested_since(&self, time: Millis) -> bool {
        self.requested_at.is_some_and(|at| at >= time)
    }

    /// Ends the request to the owner. Returns whether there was one.
    pub(super) const fn end_request(&mut self) -> bool {
        self.requested_at.take().is_some()
    }

    /// Returns when a new token is needed. The owner gets one call at a time.
    pub(super) fn renew_at(&self) -> Option<Millis> {
        self.renew_at.filter(|_| self.requested_at.is_none())
    }

    /// Ends what belonged to the last connection, but no request to the owner: its answer does for
    /// the next one. A token that was refused as a renewal, such as one of another subject, may be
    /// good for a new connection.
    pub(super) fn connection_lost(&mut self) {
        self.refused = None;
        self.is_unsent = false;
        (self.renew_at, self.expires_at) = (None, None);
    }

    /// Records that the connection that is lost had lasted.
    pub(super) const fn connection_lasted(&mut self) {
        self.was_forbidden = false;
    }

    /// Takes a token of the owner.
    pub(super) fn answer(&mut self, token: String) -> TokenUse {
        if self.refused.as_ref() == Some(&token) {
            TokenUse::Refused
        } else if self.current.as_ref() == Some(&token) {
            TokenUse::Same
        } else {
            self.before = self.current.replace(token);
            TokenUse::New
        }
    }

    /// Marks the current token for the open socket.
    pub(super) fn send_on_open_socket(&mut self) {
        self.is_unsent = true;
    }

    /// Asks the owner again a little later: it had no new token.
    pub(super) fn retry_renewal(&mut self, now: Millis) {
        self.renew_at = self.expires_at.map(|end| {
            let half = end.saturating_sub(now) / 2;
            now + half.max(RETRY_PAUSE_MS)
        });
    }

    /// Takes what the server knows of the client.
    pub(super) fn accepted(&mut self, identity: Option<&Identity>, now: Millis) {
        self.refusals = 0;
        let after = |ms: Option<u64>| ms.map(|ms| now.saturating_add(ms));
        self.expires_at = after(identity.and_then(|identity| identity.expires_after_ms));
        let renew_at = after(identity.and_then(|identity| identity.renew_after_ms));
        self.renew_at = renew_at.filter(|_| self.is_on_demand());
    }

    /// Records that the server judges the socket by the newest token.
    pub(super) fn admit(&mut self) {
        self.before = None;
    }

    /// Records that the server refused the newest token as a renewal.
    pub(super) fn refuse_renewal(&mut self) {
        self.refused = std::mem::replace(&mut self.current, self.before.take());
    }

    /// Records that a server ended a connection because of its token, or forbade it (4403). Returns
    /// whether the client stops, also one that goes on after other failures (`is_retried`).
    pub(super) fn refuse(&mut self, is_forbidden: bool, is_retried: bool) -> bool {
        self.refused = self.before.take().or(self.current.take());
        self.refusals += 1;
        // The owner of a client that was never connected awaits an answer.
        let is_last = is_forbidden && self.was_forbidden || self.refusals > 1 && !is_retried;
        self.was_forbidden |= is_forbidden;
        is_last || !self.is_on_demand()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("source", &self.source)
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}
