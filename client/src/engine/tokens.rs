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
    /// The last token that a server refused.
    refused: Option<String>,
    /// How many tokens were refused since a server accepted one.
    refusals: u32,
    /// The owner was asked, and has not answered.
    is_requested: bool,
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
    pub(super) fn request(&mut self, is_renewal: bool) -> bool {
        self.is_requested = true;
        self.renew_at = None;
        is_renewal || self.refusals > 0
    }

    /// Returns when a new token is needed.
    pub(super) fn renew_at(&self) -> Option<Millis> {
        self.renew_at
    }

    /// Ends what belonged to the last connection. A token that it refused as a renewal, such as one of
    /// another subject, may be good for a new connection.
    pub(super) fn connection_lost(&mut self) {
        self.refused = None;
        (self.is_requested, self.is_unsent) = (false, false);
        (self.renew_at, self.expires_at) = (None, None);
    }

    /// Takes an answer of the owner. Returns `None` if it was not asked.
    pub(super) fn answer(&mut self, token: String) -> Option<TokenUse> {
        if !std::mem::take(&mut self.is_requested) {
            return None;
        }
        Some(if self.refused.as_ref() == Some(&token) {
            TokenUse::Refused
        } else if self.current.as_ref() == Some(&token) {
            TokenUse::Same
        } else {
            self.current = Some(token);
            TokenUse::New
        })
    }

    /// Marks the current token for the open socket.
    pub(super) fn send_on_open_socket(&mut self) {
        self.is_unsent = true;
    }

    /// Asks the owner again a little later: it had no new token.
    pub(super) fn retry_renewal(&mut self, now: Millis) {
        self.is_requested = false;
        self.renew_at = self.expires_at.map(|end| {
            let half = end.saturating_sub(now) / 2;
            now + half.max(RETRY_PAUSE_MS)
        });
    }

    /// Takes what the server knows of the client.
    pub(super) fn accepted(&mut self, identity: Option<&Identity>, now: Millis) {
        (self.refused, self.refusals) = (None, 0);
        let after = |ms: Option<u64>| ms.map(|ms| now.saturating_add(ms));
        self.expires_at = after(identity.and_then(|identity| identity.expires_after_ms));
        let renew_at = after(identity.and_then(|identity| identity.renew_after_ms));
        self.renew_at = renew_at.filter(|_| self.is_on_demand());
    }

    /// Records that the server refused the current token as a renewal.
    pub(super) fn refuse_renewal(&mut self) {
        self.refused = self.current.take();
    }

    /// Records that a server refused the current token. Returns how many it has refused now without
    /// accepting one, or `None` if the owner has no other.
    pub(super) fn refuse(&mut self) -> Option<u32> {
        if !self.is_on_demand() {
            return None;
        }
        self.refused = self.current.take();
        self.refusals += 1;
        Some(self.refusals)
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
