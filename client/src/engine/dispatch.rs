//! Decoding frames and dispatching their messages.

use streamgate_protocol::ServerMessage;
use streamgate_protocol::close;
use streamgate_protocol::codec::DecodeError;
use streamgate_protocol::error::code;
use streamgate_protocol::message::{Fault, Outcome, Welcome};

use super::Engine;
use super::client_fault::fault;
use super::connection_phase::ConnectionPhase;
use super::connection_state::ConnectionState;
use super::time::Millis;

impl Engine {
    /// Handles a frame that the socket received.
    pub fn handle_frame(&mut self, frame: &[u8], is_text: bool, now: Millis) {
        if !matches!(self.phase, ConnectionPhase::Open { .. }) {
            return;
        }
        self.heartbeat.record_heard(now);
        if is_text != self.config.encoding.is_text() {
            let why = "the server sent a frame of the wrong type";
            return self.close_for_violation(close::WRONG_FRAME_TYPE, why, now);
        }
        for message in self.config.encoding.messages::<ServerMessage>(frame) {
            let handled = match message {
                Ok(ServerMessage::Reply { id, outcome }) => self.handle_reply(id, outcome, now),
                Ok(ServerMessage::Push { id, item }) => self.handle_push(id, item),
                Ok(ServerMessage::Welcome(welcome)) => {
                    self.handle_welcome(&welcome, now);
                    Ok(())
                }
                Ok(ServerMessage::Backend { unavailable }) => {
                    self.handle_backend_availability(unavailable, now);
                    Ok(())
                }
                Ok(ServerMessage::Auth { identity, refused }) => {
                    self.handle_auth(identity.as_ref(), refused.is_some(), now);
                    Ok(())
                }
                Ok(ServerMessage::Position { id, last_id }) => {
                    if let Some(request) = self.queue.find_in_flight(id) {
                        request.resolve_last_id(&last_id);
                    }
                    Ok(())
                }
                Ok(ServerMessage::Ping { nonce }) => {
                    self.pong = Some(nonce);
                    Ok(())
                }
                Ok(ServerMessage::Pong { .. }) => Ok(()),
                Err(DecodeError::Content { id, reason }) => {
                    let fault = fault(code::PROTOCOL, &reason);
                    self.handle_reply(id, Outcome::Error(fault), now)
                }
                // A newer server may send more kinds than this client knows.
                Ok(_) | Err(DecodeError::UnknownKind(_)) => Ok(()),
                Err(_) => Err("the server sent a message that cannot be decoded"),
            };
            if let Err(violation) = handled {
                return self.close_for_violation(close::MALFORMED, violation, now);
            }
        }
    }

    fn handle_welcome(&mut self, welcome: &Welcome, now: Millis) {
        self.max_frame_bytes = welcome.max_frame_bytes as usize;
        (self.is_welcomed, self.was_ever_open) = (true, true);
        self.queue.set_max_in_flight(welcome.max_in_flight as usize);
        self.heartbeat.set_interval(welcome.heartbeat_ms);
        self.late_recovery.record_welcome(now);
        self.tokens.accepted(welcome.identity.as_ref(), now);
        self.set_state(ConnectionState::Open);
    }

    /// Handles the news that the server's backend is unavailable, and why, or available.
    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    fn handle_backend_availability(&mut self, unavailable: Option<Fault>, now: Millis) {
        match unavailable {
            None => self.availability.record_available(now),
            Some(fault) => {
                if self.availability.record_unavailable(&fault.code) {
                    self.set_state(ConnectionState::Degraded {
                        code: fault.code,
                        message: fault.message,
                    });
                }
            }
        }
    }
}
