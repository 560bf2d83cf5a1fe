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

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Takes the token of the hello. Returns `false` if it waits for keys.
    pub(super) fn authenticate(&mut self) -> Result<bool, CloseReason> {
        if let Some(token) = self.handshake.take_token() {
            self.access.present(token);
        }
        let next = self.access.next_fetch();
        match self.access.authenticate() {
            Ok(identity) => {
                self.awaited_fetch = None;
                self.handshake.set_identity(identity);
            }
            Err(error) => match self.await_keys(error, next, KEY_WAIT) {
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
        let next = self.access.next_fetch();
        // A client that hears nothing for longer may take the server for dead.
        let patience = KEY_WAIT.min(self.heartbeat());
        let renewed = match self.access.renew() {
            Ok(()) => {
                self.awaited_fetch = None;
                Ok(())
            }
            Err(error) => match self.await_keys(error, next, patience) {
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

    /// Waits for a fetch that may bring the key of a token. Returns the error if the token cannot
    /// become valid by that, or has waited.
    fn await_keys(
        &mut self,
        error: TokenError,
        next: Option<NextFetch>,
        patience: Duration,
    ) -> Result<(), TokenError> {
        let awaited = self.awaited_fetch.take();
        let is_of_key = matches!(error, TokenError::UnknownKey | TokenError::NoKeys);
        let Some(next) = next.filter(|_| is_of_key) else {
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
            Some(mut awaited) => match awaited.fetch.outcome() {
                FetchOutcome::Fetched => return Err(error),
                FetchOutcome::Failed => return Err(TokenError::NoKeys),
                FetchOutcome::Pending if now >= awaited.until => return Err(TokenError::NoKeys),
                FetchOutcome::Pending => *awaited,
            },
        };
        let ended = awaited.fetch.clone().ended(awaited.until);
        self.control.await_fetch(ended);
        self.awaited_fetch = Some(Box::new(awaited));
        Ok(())
    }
}
