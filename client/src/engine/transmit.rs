//! Which messages are sent next, and how they share frames.

use streamgate_protocol::codec::{Encode as _, write_message};
use streamgate_protocol::error::code;
use streamgate_protocol::limits::MIN_CLIENT_FRAME_BYTES;
use streamgate_protocol::message::Hello;
use streamgate_protocol::text::push_number;

use super::Engine;
use super::connection_phase::ConnectionPhase;
use super::encoded_request::number;
use super::heartbeat::HeartbeatStatus;
use super::pending_request::PendingRequest;
use super::time::Millis;

/// The bytes after which a frame takes no further message. Large enough that a busy client pays for
/// few system calls; small enough that the server starts on the first requests while the rest is
/// still being written.
pub(super) const FRAME_TARGET_BYTES: usize = 64 * 1024;

impl Engine {
    /// Returns the next frame to send, if the socket is open and there is something to send.
    pub fn poll_transmit(&mut self, now: Millis) -> Option<Vec<u8>> {
        if !matches!(self.phase, ConnectionPhase::Open { .. }) {
            return None;
        }
        let mut frame = Vec::new();
        let mut max_bytes = self.max_frame_bytes;
        if !std::mem::replace(&mut self.said_hello, true) {
            // Before it knows the client, a server need not take more.
            max_bytes = max_bytes.min(FRAME_TARGET_BYTES);
            let max_frame_bytes = self.config.max_frame_bytes.max(MIN_CLIENT_FRAME_BYTES);
            let token = self.tokens.for_hello();
            let mut hello = Hello::new(self.producers.client_id(), max_frame_bytes);
            hello.token = token.map(Into::into);
            self.append(&mut frame, |out| {
                number::HELLO.write_binary(out);
                hello.write_binary(out);
            });
        }
        self.append_control(&mut frame, now);
        self.append_requests(&mut frame, max_bytes, now);
        if frame.is_empty() {
            return None;
        }
        self.heartbeat.record_sent(now);
        Some(frame)
    }

    /// Handles that the socket takes no frame yet, because it is still sending an earlier one. Call
    /// it instead of [`poll_transmit`](Self::poll_transmit).
    pub fn handle_sending(&mut self) {
        self.heartbeat.record_sending();
    }

    fn append_control(&mut self, frame: &mut Vec<u8>, now: Millis) {
        for id in std::mem::take(&mut self.cancels) {
            self.append_number(frame, number::CANCEL, id);
        }
        if let Some(nonce) = self.pong.take() {
            self.append_number(frame, number::PONG, nonce);
        }
        if let Some(token) = self.tokens.take_unsent() {
            self.append(frame, |out| {
                write_message(out, number::AUTHENTICATE, |out| token.write_binary(out));
            });
        }
        if self.heartbeat.status(now) == HeartbeatStatus::PingDue {
            let nonce = self.heartbeat.next_ping(now);
            self.append_number(frame, number::PING, nonce);
        }
        for id in std::mem::take(&mut self.grants) {
            if let Some(credit) = self.take_grant(id) {
                self.append(frame, |out| {
                    write_message(out, number::GRANT, |out| {
                        id.write_binary(out);
                        credit.write_binary(out);
                    });
                });
            }
        }
    }

    fn append_requests(&mut self, frame: &mut Vec<u8>, max_bytes: usize, now: Millis) {
        let any_stalled = self.producers.any_stalled();
        self.begin_background_recoveries();
        while frame.len() < FRAME_TARGET_BYTES {
            let (producers, log) = (&self.producers, &self.delivery_log);
            let is_held = |request: &PendingRequest| {
                let add = request.idempotent_add().filter(|_| any_stalled);
                let consumer = request.consumer().filter(|_| log.any_recovery_in_flight());
                add.is_some_and(|(stream, _)| producers.is_stalled(stream))
                    || consumer.is_some_and(|consumer| log.is_recovery_in_flight(consumer))
            };
            let Some(mut request) = self.queue.take_next(is_held) else {
                break;
            };
            if self.is_forgotten(&request) {
                let why = "the server no longer knows whether it stored the add";
                self.fail(request.id(), code::UNKNOWN_OUTCOME, why);
                continue;
            }
            let start = frame.len();
            self.prepare(&mut request, now);
            self.append_request(frame, &mut request);
            if frame.len() <= max_bytes {
                if let Some((stream, number)) = request.idempotent_add() {
                    self.producers.record_sent(stream, number.number);
                }
                if let Some(consumer) = request.consumer().filter(|_| request.is_recovering) {
                    self.delivery_log.begin_recovery(consumer);
                }
                self.queue.record_sent(request, frame.len() - start);
            } else if start == 0 && self.is_welcomed {
                let why = too_large(frame.len(), max_bytes);
                frame.clear();
                self.fail_waiting(&request, code::LIMIT, &why);
            } else {
                frame.truncate(start);
                self.queue.put_back(request);
                break;
            }
        }
    }

    fn prepare(&mut self, request: &mut PendingRequest, now: Millis) {
        request.prepare(self.availability.is_unavailable(), now);
        if let Some(consumer) = request.consumer()
            && self.delivery_log.is_recovery_due(consumer)
        {
            request.is_recovering = true;
        }
        request.assign_number(&mut self.producers);
    }

    fn append_request(&self, frame: &mut Vec<u8>, request: &mut PendingRequest) {
        if let Some(recovery) = request.recovery_request(&self.delivery_log) {
            self.append(frame, |out| {
                recovery.write_request(out, request.id(), None, false)
            });
        } else {
            request.resume_subscription();
            self.append(frame, |out| request.write(out));
        }
    }

    /// Whether an add may be stored under a producer's name that is no longer used.
    fn is_forgotten(&self, request: &PendingRequest) -> bool {
        match request.idempotent_add() {
            Some((stream, number)) if number.number > 0 => {
                request.may_be_done && !self.producers.has_name(stream, &number.producer)
            }
            _ => false,
        }
    }

    /// Appends a message of one number.
    fn append_number(&self, frame: &mut Vec<u8>, message: u64, value: u64) {
        self.append(frame, |out| {
            write_message(out, message, |out| value.write_binary(out));
        });
    }

    /// Appends messages that `write` appends in the binary encoding.
    fn append(&self, frame: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        self.config.encoding.append_binary(frame, write);
    }
}

fn too_large(bytes: usize, limit: usize) -> String {
    let mut text = String::from("the request has ");
    push_number(&mut text, bytes as u64);
    text.push_str(" bytes; the server accepts ");
    push_number(&mut text, limit as u64);
    text
}
