//! Connecting, reconnecting, closing, and the time-outs of all three.

use streamgate_protocol::close::{self, AfterClose};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::error::code;
use streamgate_protocol::message::Outcome;
use streamgate_protocol::text::push_number;
use streamgate_protocol::{Reply, limits};

use super::Engine;
use super::authentication::is_refusal_of_token;
use super::availability::Availability;
use super::connection_phase::ConnectionPhase;
use super::connection_state::ConnectionState;
use super::event::{EngineEvent, SocketAction};
use super::heartbeat::{Heartbeat, HeartbeatStatus};
use super::pending_request::PendingRequest;
use super::time::Millis;

/// The reason of [`close::MESSAGE_TOO_LARGE`].
const TOO_LARGE: &str = "a message was too large for a WebSocket on its way";

const WAS_CLOSED: &str = "the client was closed";

impl Engine {
    /// Handles that the socket is open, with the subprotocol that the server chose.
    pub fn handle_opened(&mut self, subprotocol: &str, now: Millis) {
        if !matches!(self.phase, ConnectionPhase::Connecting { .. }) {
            return;
        }
        self.max_frame_bytes = limits::MIN_FRAME_BYTES as usize;
        (self.said_hello, self.is_welcomed) = (false, false);
        self.pong = None;
        self.availability = Availability::default();
        self.queue.reset_max_in_flight();
        self.heartbeat = Heartbeat::new(now);
        self.phase = ConnectionPhase::Open { since: now };
        if Encoding::from_subprotocol(subprotocol) != Some(self.config.encoding) {
            let why = "the server does not speak streamgate.v1";
            self.close_for_violation(close::MALFORMED, why, now);
        }
    }

    /// Handles that the socket is closed, or could not be opened.
    pub fn handle_closed(&mut self, code: u16, reason: &str, now: Millis) {
        match self.phase {
            ConnectionPhase::Closed | ConnectionPhase::Pausing { .. } => {}
            // The owner has to know why the client closes, not how the server took it.
            ConnectionPhase::Closing { .. } => match self.stopped_with.take() {
                Some((code, reason)) => self.stop(code, &reason),
                None => self.stop(code, reason),
            },
            ConnectionPhase::Connecting { .. } | ConnectionPhase::Open { .. } => {
                // Without a close of the server, it may not know that the connection is lost.
                self.handle_lost(code, reason, code == close::ABNORMAL, now);
            }
        }
    }

    /// Handles that the server, which refused the connection, wants no other attempt for some time.
    /// Call it after [`handle_closed`](Self::handle_closed).
    pub fn postpone_connect(&mut self, ms: u32, now: Millis) {
        self.connect_not_before = now + u64::from(ms);
        if let ConnectionPhase::Pausing { until } = &mut self.phase {
            *until = self.connect_not_before.max(*until);
        }
    }

    /// Handles that the time of [`next_deadline`](Self::next_deadline) has come. A call that is too
    /// early, too late or needless does no harm.
    pub fn handle_timeout(&mut self, now: Millis) {
        if self.close_deadline().is_some_and(|at| now >= at) {
            return self.abort(now);
        }
        self.queue.end_due_pauses(now);
        self.fail_expired(now);
        self.producers.resume_stalled(now);
        match self.phase {
            ConnectionPhase::Connecting { give_up_at } if now >= give_up_at => {
                self.actions.push_back(SocketAction::Abandon);
                self.tokens.end_request();
                let why = "the attempt to connect timed out";
                self.handle_lost(close::ABNORMAL, why, true, now);
            }
            ConnectionPhase::Pausing { until } if now >= until => self.connect(now),
            ConnectionPhase::Closing { give_up_at } if now >= give_up_at => {
                self.actions.push_back(SocketAction::Abandon);
                self.stop(close::ABNORMAL, "the server did not answer the close");
            }
            ConnectionPhase::Open { since }
                if !self.is_welcomed && now >= self.welcome_deadline(since) =>
            {
                self.actions.push_back(SocketAction::Abandon);
                self.handle_lost(close::ABNORMAL, "the server sent no welcome", true, now);
            }
            ConnectionPhase::Open { .. } if !self.is_welcomed => {}
            ConnectionPhase::Open { .. } if self.heartbeat.is_client_dead(now) => {
                self.actions.push_back(SocketAction::Abandon);
                self.handle_lost(close::HEARTBEAT_MISSED, "this client was frozen", true, now);
                self.network_changed(now);
            }
            ConnectionPhase::Open { .. }
                if self.heartbeat.status(now) == HeartbeatStatus::ServerDead =>
            {
                self.actions.push_back(SocketAction::Abandon);
                self.handle_lost(close::HEARTBEAT_MISSED, "the server is silent", true, now);
            }
            ConnectionPhase::Open { .. } => {
                if self.tokens.renew_at().is_some_and(|at| now >= at) {
                    self.request_token(true, now);
                }
                self.heartbeat.record_wake(now);
                if self.late_recovery.begin(now) {
                    self.delivery_log.begin_late_recoveries();
                }
                if self.availability.settle(now) {
                    self.set_state(ConnectionState::Open);
                }
            }
            _ => {}
        }
    }

    /// Probes an open connection at once, and ends the pause before an attempt to reconnect.
    ///
    /// Call it after events that connections often do not survive, or that may have brought the
    /// server back: the network changed, the machine slept, the tab was frozen.
    pub fn network_changed(&mut self, now: Millis) {
        match self.phase {
            ConnectionPhase::Pausing { .. } if now >= self.connect_not_before => self.connect(now),
            ConnectionPhase::Open { .. } => self.heartbeat.force_ping(),
            _ => {}
        }
    }

    /// Closes the client once its requests are done, or after `timeout_ms` as
    /// [`abort`](Self::abort) does. No further request is taken but acknowledgements.
    ///
    /// Subscriptions end at once, without an error. A consumer of which the owner took entries and
    /// has not acknowledged them is awaited like a request: cancel it once the owner has heard of
    /// its end. Requests that wait for entries fail at once, as by `abort`: they may wait for ever.
    /// A second call changes nothing.
    #[inline(never)]
    pub fn close(&mut self, timeout_ms: u64, now: Millis) {
        if self.is_ending() || self.close_at.is_some() {
            return;
        }
        self.close_at = Some(now.saturating_add(timeout_ms));
        for id in self.queue.find_ids(PendingRequest::is_endless, usize::MAX) {
            let Some(request) = self.remove(id) else {
                continue;
            };
            if request.is_subscription() {
                self.finish(id, Outcome::Ok(Reply::Done {}));
                self.queue.record_ended(request);
            } else if request.was_sent && !request.is_read_only() {
                self.fail(id, code::UNKNOWN_OUTCOME, WAS_CLOSED);
            } else {
                self.fail(id, code::CLOSED, WAS_CLOSED);
            }
        }
    }

    /// Returns when a client that its owner closes ends: as soon as its requests are done, and the
    /// owner works on no entry of a consumer that the close has ended.
    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    pub(super) fn close_deadline(&self) -> Option<Millis> {
        let at = self.close_at?;
        let mut is_busy = !self.queue.find_ids(PendingRequest::has_owner, 1).is_empty();
        for request in self.queue.ended() {
            // What the owner was not shown is not acknowledged either.
            is_busy |= request
                .consumer()
                .is_some_and(|key| self.delivery_log.count(key) > request.unshown_entries());
        }
        Some(if is_busy { at } else { 0 })
    }

    /// Ends the client at once: every request and subscription fails with `CLOSED`, or with
    /// `UNKNOWN_OUTCOME` if the server may have performed it, and the socket is closed.
    pub fn abort(&mut self, now: Millis) {
        self.end(code::CLOSED, WAS_CLOSED, None, now);
    }

    /// Ends the client and every request. `stopped_with` is the code and the reason that the owner
    /// sees, if they are not those of the socket's close.
    pub(super) fn end(
        &mut self,
        error: &str,
        why: &str,
        stopped_with: Option<(u16, &str)>,
        now: Millis,
    ) {
        if self.is_ending() {
            return;
        }
        self.fail_in_flight(error, why);
        self.fail_queued(error, why);
        if matches!(self.phase, ConnectionPhase::Open { .. }) {
            self.stopped_with = stopped_with.map(|(code, reason)| (code, reason.to_owned()));
            self.begin_closing(close::NORMAL, "", now);
        } else {
            let (code, reason) = stopped_with.unwrap_or((close::NORMAL, ""));
            self.actions.push_back(SocketAction::Abandon);
            self.stop(code, reason);
        }
    }

    /// Returns when an attempt to connect times out whose socket is open without a welcome.
    pub(super) fn welcome_deadline(&self, opened_at: Millis) -> Millis {
        opened_at + u64::from(self.config.connect_timeout_ms)
    }

    pub(super) fn connect(&mut self, now: Millis) {
        if !self.tokens.is_on_demand() {
            return self.open_socket(now);
        }
        self.phase = ConnectionPhase::Connecting {
            give_up_at: now + u64::from(self.config.token_timeout_ms),
        };
        // The owner gets one call at a time. A call from before the machine slept may never end.
        let recent = now.saturating_sub(u64::from(self.config.connect_timeout_ms));
        if !self.tokens.is_requested_since(recent) {
            self.request_token(false, now);
        }
    }

    #[inline(never)]
    pub(super) fn open_socket(&mut self, now: Millis) {
        self.phase = ConnectionPhase::Connecting {
            give_up_at: now + u64::from(self.config.connect_timeout_ms),
        };
        self.actions.push_back(SocketAction::Connect);
    }

    /// Closes the socket because the server violated the protocol. Another attempt would fail the
    /// same way, so the client ends.
    pub(super) fn close_for_violation(&mut self, code: u16, reason: &'static str, now: Millis) {
        self.fail_in_flight(code::PROTOCOL, reason);
        self.fail_queued(code::PROTOCOL, reason);
        self.stopped_with = Some((code, reason.to_owned()));
        self.begin_closing(code, reason, now);
    }

    /// Handles that the connection is gone: schedules another attempt, unless there is no point in
    /// one. `is_unnoticed` says that the server may take it for alive.
    #[inline(never)]
    pub(super) fn handle_lost(&mut self, code: u16, reason: &str, is_unnoticed: bool, now: Millis) {
        self.tokens.connection_lost();
        let mut may_go_on = false;
        if let ConnectionPhase::Open { since } = self.phase {
            if self.backoff.record_open_time(now.saturating_sub(since)) {
                self.tokens.connection_lasted();
            }
            may_go_on = is_unnoticed;
        }
        let is_retried = self.was_ever_open || self.config.retry_first_connect;
        let has_ended = if is_refusal_of_token(code) {
            self.tokens.refuse(code == close::FORBIDDEN, is_retried)
        } else {
            close::after_close(code) == AfterClose::Stop || !is_retried
        };
        if has_ended {
            // A WebSocket that takes no message of this length gives no reason.
            let reason = match code {
                close::MESSAGE_TOO_LARGE if reason.is_empty() => TOO_LARGE,
                _ => reason,
            };
            let mut why = String::from("the client stopped after code ");
            push_number(&mut why, u64::from(code));
            why.push_str(": ");
            why.push_str(reason);
            self.fail_in_flight(close::error_code(code), &why);
            self.fail_queued(close::error_code(code), &why);
            return self.stop(code, reason);
        }
        self.late_recovery.due_at = None;
        if may_go_on {
            let unnoticed_ms = self.heartbeat.server_patience_ms();
            self.late_recovery.record_connection_lost(unnoticed_ms);
        }
        self.retry_sent(may_go_on, now);
        self.phase = ConnectionPhase::Pausing {
            until: now + self.backoff.next_pause_ms(&mut self.jitter),
        };
        // Until the first attempt succeeds, the state stays `Connecting`.
        if self.was_ever_open {
            self.set_state(ConnectionState::Reconnecting {
                code,
                reason: reason.to_owned(),
            });
        }
    }

    pub(super) fn begin_closing(&mut self, code: u16, reason: &'static str, now: Millis) {
        self.close_at = None;
        self.actions.push_back(SocketAction::Close { code, reason });
        self.phase = ConnectionPhase::Closing {
            give_up_at: now + u64::from(self.config.close_timeout_ms),
        };
    }

    pub(super) fn stop(&mut self, code: u16, reason: &str) {
        self.close_at = None;
        self.phase = ConnectionPhase::Closed;
        self.set_state(ConnectionState::Closed {
            code,
            reason: reason.to_owned(),
        });
    }

    pub(super) fn set_state(&mut self, state: ConnectionState) {
        self.events.push_back(EngineEvent::StateChanged(state));
    }
}
