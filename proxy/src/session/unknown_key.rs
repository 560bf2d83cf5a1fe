//! Tokens that name an unknown key, while the server fetches the keys of an issuer: a key may be newer
//! than the set that is known, or the server has just begun.
//!
//! Meanwhile the session reads no further. A socket without a valid token keeps its place among those
//! that have not said hello, so their number is bounded.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::access::KEY_WAIT;
use crate::auth::{FetchOutcome, NextFetch, TokenError};
use crate::session::Session;
use crate::session::authentication::unauthenticated;
use crate::socket::CloseReason;

/// The fetch that a token waits for.
pub(super) struct AwaitedFetch {
    fetch: NextFetch,
    until: Instant,
}

/// What was known of the fetches before a token was verified. A fetch that ends later may have
/// brought the key, whatever the verification has found.
pub(super) struct FetchesBefore {
    /// Absent if the server fetches no keys.
    next: Option<NextFetch>,
    /// Of the fetch that the token waits for, if it does.
    outcome: Option<FetchOutcome>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Takes the token of the hello. Returns `false` if it waits for keys.
    pub(super) fn authenticate(&mut self) -> Result<bool, CloseReason> {
        if let Some(token) = self.handshake.take_token() {
            self.access.present(token);
        }
        let before = self.fetches_before();
        match self.access.authenticate() {
            Ok(identity) => {
                self.awaited_fetch = None;
                self.handshake.set_identity(identity);
            }
            Err(error) => match self.await_keys(error, before, KEY_WAIT) {
                Ok(()) => return Ok(false),
                Err(error) => return Err(unauthenticated(&error)),
            },
        }
        Ok(true)
    }

    /// Takes a new token, and answers, unless it waits for keys.
    ///
    /// # Errors
    ///
    /// The session has to close at once.
    pub(super) async fn renew_token(&mut self, token: &str) -> Result<(), CloseReason> {
        if !self.access.has_policy() {
            return Ok(());
        }
        self.access.present(token);
        self.renew().await
    }

    async fn renew(&mut self) -> Result<(), CloseReason> {
        let before = self.fetches_before();
        // A client that hears nothing for longer may take the server for dead.
        let patience = KEY_WAIT.min(self.heartbeat());
        let renewed = match self.access.renew() {
            Ok(()) => {
                self.awaited_fetch = None;
                Ok(())
            }
            Err(error) => match self.await_keys(error, before, patience) {
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
        };
        self.token_renewed(renewed).await
    }

    /// Returns whether a token waits for keys.
    pub(super) fn awaits_keys(&self) -> bool {
        self.awaited_fetch.is_some()
    }

    /// Tries a token again, because a fetch has ended, or because it has waited for too long.
    pub(super) async fn try_token_again(&mut self) -> Result<(), CloseReason> {
        if self.registration.is_some() {
            self.renew().await
        } else {
            self.greet().await
        }
    }

    /// Returns what is known of the fetches now.
    pub(super) fn fetches_before(&mut self) -> FetchesBefore {
        let awaited = self.awaited_fetch.as_mut();
        FetchesBefore {
            next: self.access.next_fetch(),
            outcome: awaited.map(|awaited| awaited.fetch.outcome()),
        }
    }

    /// Waits for a fetch that may bring the key of a token. Returns the error if the token cannot
    /// become valid by that, or has waited.
    pub(super) fn await_keys(
        &mut self,
        error: TokenError,
        before: FetchesBefore,
        patience: Duration,
    ) -> Result<(), TokenError> {
        let awaited = self.awaited_fetch.take().zip(before.outcome);
        let is_of_key = matches!(error, TokenError::UnknownKey | TokenError::NoKeys);
        let Some(next) = before.next.filter(|_| is_of_key) else {
            return Err(error);
        };
        let now = Instant::now();
        let awaited = match awaited {
            None => {
                self.access.ask_for_keys();
                let until = now + patience;
                let until = until.min(self.hello_end().unwrap_or(until));
                AwaitedFetch { fetch: next, until }
            }
            Some((_, FetchOutcome::Fetched)) => return Err(error),
            Some((_, FetchOutcome::Failed)) => return Err(TokenError::NoKeys),
            Some((awaited, FetchOutcome::Pending)) if now >= awaited.until => {
                return Err(TokenError::NoKeys);
            }
            Some((awaited, FetchOutcome::Pending)) => *awaited,
        };
        let ended = awaited.fetch.clone().ended(awaited.until);
        self.control.await_fetch(ended);
        self.awaited_fetch = Some(Box::new(awaited));
        Ok(())
    }
}
