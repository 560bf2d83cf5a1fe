//! What is sent, and in which frames.

use streamgate_protocol::error::code;
use streamgate_protocol::text::push_number;
use streamgate_protocol::{CacheError, ClientMessage};

use super::heartbeat::HeartbeatStatus;
use super::pending_request::Ask;
use super::{ConnectionPhase, Engine, Millis};

/// How much is put into one frame before the next is begun. Large enough that a busy client pays
/// for few system calls, small enough that the server starts on the first calls while the rest
/// is still being written.
pub(super) const FRAME_TARGET_BYTES: usize = 64 * 1024;

impl Engine {
    /// The next frame to send, if the socket is open and takes one.
    pub fn poll_transmit(&mut self, now: Millis) -> Option<Vec<u8>> {
        if !matches!(self.phase, ConnectionPhase::Open { .. }) {
            return None;
        }
        let mut frame = Vec::new();
        for id in std::mem::take(&mut self.cancels) {
            self.append(&mut frame, &ClientMessage::Cancel { id });
        }
        if self.heartbeat.check(now) == HeartbeatStatus::PingDue {
            let nonce = self.heartbeat.pinged(now);
            self.append(&mut frame, &ClientMessage::Ping { nonce });
        }
        for id in std::mem::take(&mut self.grants) {
            if let Some(credit) = self.take_grant(id) {
                self.append(&mut frame, &ClientMessage::Grant { id, credit });
            }
        }
        let any_stalled = self.producers.any_stalled();
        while frame.len() < FRAME_TARGET_BYTES {
            let producers = &self.producers;
            let is_held = |ask: &Ask| {
                let stream = ask.adds_once().filter(|_| any_stalled);
                stream.is_some_and(|(stream, _)| producers.is_stalled(stream))
            };
            let Some(mut call) = self.calls.take_next(is_held) else {
                break;
            };
            let start = frame.len();
            if self.is_forgotten(&call.ask) {
                let why = "the server does not remember what it added";
                self.finish(
                    call.id(),
                    Err(CacheError::from_code(code::UNKNOWN_OUTCOME, why)),
                );
                continue;
            }
            call.ask.prepare(now);
            if let Some(name) = call.ask.consumer()
                && call.ask.look_after.is_none()
                && !call.ask.is_subscription()
            {
                call.ask.look_after = self.given.look_on(name);
            }
            self.number(&mut call.ask);
            let room = call.window.as_ref().map_or(0, |window| window.room());
            if let Some(look) = call.ask.look(room) {
                self.append(&mut frame, &look);
            } else {
                if let Some(window) = &mut call.window {
                    let left = window.resume();
                    call.ask.resume(window.position(), left);
                }
                self.append(&mut frame, call.ask.message());
            }
            if frame.len() <= self.max_frame_bytes {
                if let Some((stream, Some((_, own)))) = call.ask.adds_once() {
                    self.producers.sent(stream, own.number);
                }
                self.calls.sent(call, frame.len() - start);
            } else if start == 0 && self.welcomed {
                let error = too_large(frame.len(), self.max_frame_bytes);
                frame.clear();
                self.finish(call.id(), Err(error));
            } else {
                frame.truncate(start);
                self.calls.put_back(call);
                break;
            }
        }
        if frame.is_empty() {
            return None;
        }
        self.heartbeat.sent(now);
        Some(frame)
    }

    fn number(&mut self, ask: &mut Ask) {
        if let Some((stream, own)) = ask.adds_once() {
            let own = own.map(|(name, own)| (name, own.number));
            let numbered = self.producers.number(stream, own);
            ask.number(numbered);
        }
    }

    /// Whether it may have been done under a name that is not known any more.
    fn is_forgotten(&self, ask: &Ask) -> bool {
        match ask.adds_once() {
            Some((stream, Some((name, _)))) => {
                ask.maybe_done && !self.producers.knows(stream, name)
            }
            _ => false,
        }
    }

    fn append(&self, frame: &mut Vec<u8>, message: &ClientMessage<'_>) {
        // Encoding fails only for types that are not this protocol's.
        let encoded = self.config.encoding.append(frame, message);
        debug_assert!(encoded.is_ok(), "{encoded:?}");
    }
}

fn too_large(bytes: usize, limit: usize) -> CacheError {
    let mut text = String::from("the request has ");
    push_number(&mut text, bytes as u64);
    text.push_str(" bytes; the server takes ");
    push_number(&mut text, limit as u64);
    CacheError::from_code(code::LIMIT, &text)
}
