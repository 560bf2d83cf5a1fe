//! How requests end: with a reply, with an error of the client, or by retrying after a lost
//! connection.

use streamgate_protocol::error::code;
use streamgate_protocol::message::Outcome;

use super::Engine;
use super::client_fault::fault;
use super::connection_phase::ConnectionPhase;
use super::event::EngineEvent;
use super::pending_request::{PendingRequest, is_background_id};
use super::retry_policy::RetryPolicy;
use super::time::Millis;

impl Engine {
    /// Fails a request by the client's own decision.
    pub(super) fn fail(&mut self, id: u64, code: &str, why: &str) {
        self.finish(id, Outcome::Error(fault(code, why)));
    }

    pub(super) fn finish(&mut self, id: u64, outcome: Outcome) {
        // No owner waits for a background recovery.
        if is_background_id(id) {
            return;
        }
        self.events.push_back(EngineEvent::Finished { id, outcome });
    }

    /// Queues the requests that were sent on a lost connection to be sent again, in the order in
    /// which they were made. Those that cannot be sent twice fail with `UNKNOWN_OUTCOME`.
    ///
    /// `may_go_on` says that the server may not know that the connection is lost.
    pub(super) fn retry_sent(&mut self, may_go_on: bool, now: Millis) {
        self.cancels.clear();
        self.grants.clear();
        self.producers.record_connection_lost();
        self.delivery_log.record_connection_lost();
        for mut request in self.queue.take_lost(now) {
            if may_go_on && let Some(receiver) = request.receiver() {
                self.delivery_log.require_late_recovery(receiver);
            }
            if request.is_background() {
                self.save_recovery(&request);
                continue;
            }
            let retries = match (request.retry_policy(now), request.consumer()) {
                (RetryPolicy::Resend, _) => true,
                (RetryPolicy::RecoverThenResend, Some(consumer)) => {
                    request.is_recovering = self.delivery_log.set_recovery_due(consumer);
                    request.is_recovering
                }
                _ => false,
            };
            if retries {
                self.queue.retry(request);
            } else {
                let why = "the connection was lost before the reply came";
                self.fail_waiting(&request, code::DISCONNECTED, why);
            }
        }
    }

    /// Fails everything that was sent, because the client will not reconnect. A request that changes
    /// something, and what a consumer received, have an unknown outcome.
    pub(super) fn fail_in_flight(&mut self, code: &str, why: &str) {
        self.cancels.clear();
        self.grants.clear();
        for request in self.queue.take_sent() {
            let code = if request.is_read_only() {
                code
            } else {
                code::UNKNOWN_OUTCOME
            };
            self.fail(request.id(), code, why);
        }
    }

    /// Fails everything that waits to be sent.
    pub(super) fn fail_queued(&mut self, code: &str, why: &str) {
        while let Some(request) = self.queue.take_any() {
            self.fail_waiting(&request, code, why);
        }
    }

    /// Fails everything that has waited to be sent for too long.
    pub(super) fn fail_expired(&mut self, now: Millis) {
        while let Some(request) = self.queue.take_expired(now) {
            let (code, why) = match self.phase {
                ConnectionPhase::Open { .. } => {
                    (code::OVERLOADED, "the request was not sent in time")
                }
                _ => (code::DISCONNECTED, "no connection in time"),
            };
            self.fail_waiting(&request, code, why);
        }
    }

    /// Fails a request that waits to be sent. If it was sent before, it may have been performed.
    pub(super) fn fail_waiting(&mut self, request: &PendingRequest, code: &str, why: &str) {
        self.save_recovery(request);
        if let Some((stream, _)) = request.idempotent_add()
            && request.was_sent
        {
            self.producers.record_abandoned(stream);
        }
        let code = if request.was_sent && !request.is_read_only() {
            code::UNKNOWN_OUTCOME
        } else {
            code
        };
        self.fail(request.id(), code, why);
    }
}
