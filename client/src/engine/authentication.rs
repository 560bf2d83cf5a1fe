//! Asking the owner for tokens, and renewing them on an open socket.

use streamgate_protocol::close;
use streamgate_protocol::error::code;
use streamgate_protocol::message::Identity;

use super::Engine;
use super::connection_phase::ConnectionPhase;
use super::event::SocketAction;
use super::time::Millis;
use super::tokens::{TokenError, TokenUse};

/// Why a client stops whose owner has no token but the refused one.
const NO_OTHER_TOKEN: &str = "the server refused the token, and there is no other";

impl Engine {
    /// Handles the owner's answer to [`SocketAction::RequestToken`].
    /// Without effect if the engine no longer awaits one.
    pub fn handle_token(&mut self, answer: Result<String, TokenError>, now: Millis) {
        if !self.tokens.end_request() {
            return;
        }
        let is_connecting = matches!(self.phase, ConnectionPhase::Connecting { .. });
        match answer {
            Ok(token) => match self.tokens.answer(token) {
                TokenUse::Refused if is_connecting => {
                    self.stop_unauthenticated(NO_OTHER_TOKEN, now);
                }
                TokenUse::New | TokenUse::Same if is_connecting => self.open_socket(now),
                TokenUse::New => self.tokens.send_on_open_socket(),
                TokenUse::Refused | TokenUse::Same => self.tokens.retry_renewal(now),
            },
            Err(TokenError::SignedOut(why)) => {
                self.stop_unauthenticated(&why, now);
            }
            Err(TokenError::Later(why)) if is_connecting => {
                self.handle_lost(close::ABNORMAL, &why, false, now);
            }
            Err(TokenError::Later(_)) => self.tokens.retry_renewal(now),
        }
    }

    /// Handles the server's answer to a new token.
    pub(super) fn handle_auth(
        &mut self,
        identity: Option<&Identity>,
        is_refused: bool,
        now: Millis,
    ) {
        self.tokens.accepted(identity, now);
        if is_refused {
            self.tokens.refuse_renewal();
            self.tokens.retry_renewal(now);
        } else {
            self.tokens.admit();
        }
    }

    pub(super) fn request_token(&mut self, is_renewal: bool, now: Millis) {
        let force = self.tokens.request(is_renewal, now);
        self.actions.push_back(SocketAction::RequestToken { force });
    }

    /// Ends the client: it has no token that a server would accept.
    fn stop_unauthenticated(&mut self, why: &str, now: Millis) {
        let stopped_with = Some((close::UNAUTHENTICATED, why));
        self.end(code::NOAUTH, why, stopped_with, now);
    }
}

/// Returns whether a close means that another token may be accepted. No HTTP status does: the
/// handshake has no token.
pub(super) const fn is_refusal_of_token(code: u16) -> bool {
    matches!(code, close::UNAUTHENTICATED | close::FORBIDDEN)
}
