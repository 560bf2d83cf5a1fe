//! Recoveries: finding the entries that were delivered to a consumer and never arrived.
//!
//! A request or a subscription whose delivery may be lost begins with a recovery. Two more kinds of
//! losses are not seen when they happen:
//!
//! - The server did not fit all it took for the consumer into a reply.
//! - The server did not notice that the connection was lost, and goes on delivering to it for two
//!   heartbeats. Then a late recovery looks once more.
//!
//! If the consumer waits for entries, such a recovery runs in the background, beside its requests,
//! until it has found all. Otherwise the consumer's next group read begins with a recovery.

use streamgate_protocol::error::code;
use streamgate_protocol::limits::LATE_RECOVERY_MARGIN_MS;
use streamgate_protocol::message::{Fault, Outcome};
use streamgate_protocol::{Entry, Reply};

use super::Engine;
use super::pending_request::PendingRequest;
use super::time::Millis;

/// When to look for what servers delivered to connections that were lost without their notice.
#[derive(Debug, Default)]
pub(super) struct LateRecovery {
    /// How long after the next welcome all earlier sessions have ended; 0 for no late recovery.
    delay_ms: u64,
    pub(super) due_at: Option<Millis>,
}

impl LateRecovery {
    /// Records that a server takes a lost connection for alive for that long.
    pub(super) fn record_connection_lost(&mut self, unnoticed_ms: u64) {
        self.delay_ms = self.delay_ms.max(unnoticed_ms + LATE_RECOVERY_MARGIN_MS);
    }

    pub(super) fn record_welcome(&mut self, now: Millis) {
        self.due_at = (self.delay_ms > 0).then_some(now + self.delay_ms);
    }

    /// Returns whether the late recovery begins now.
    pub(super) fn begin(&mut self, now: Millis) -> bool {
        let is_due = self.due_at.is_some_and(|at| now >= at);
        if is_due {
            *self = Self::default();
        }
        is_due
    }
}

impl Engine {
    /// Sends a recovery for each consumer that needs one at once and has a request in flight that can
    /// deliver what it finds. For any other consumer the next request does it.
    pub(super) fn begin_background_recoveries(&mut self) {
        let (queue, number) = (&mut self.queue, &mut self.background_recoveries);
        self.delivery_log.begin_background_recoveries(|consumer| {
            if queue.has_background_recovery(consumer) {
                return false;
            }
            let Some(receiver) = queue.find_receiver(consumer) else {
                return false;
            };
            if receiver.has_no_room() {
                return true;
            }
            let count = receiver.recovery_count();
            *number += 1;
            let recovery = PendingRequest::background_recovery(*number, consumer, count);
            queue.retry(Box::new(recovery));
            false
        });
    }

    /// Handles the reply to a recovery: entries that are pending for the consumer. Those that did
    /// not arrive before are delivered to the owner.
    pub(super) fn handle_recovery(
        &mut self,
        mut request: Box<PendingRequest>,
        reply: Reply,
        now: Millis,
    ) {
        let Some(consumer) = request.consumer() else {
            return;
        };
        let Reply::Entries {
            mut entries, more, ..
        } = reply
        else {
            self.delivery_log.end_recovery(consumer, true);
            let why = "the reply is to another operation";
            return self.fail(request.id(), code::PROTOCOL, why);
        };
        let is_due = more || !entries.is_empty();
        self.delivery_log.retain_new(consumer, &mut entries);
        self.delivery_log.end_recovery(consumer, is_due);
        if request.is_background() {
            if is_due {
                self.deliver_in_background(&request, entries, now);
            }
            return;
        }
        self.delivery_log.record_recovered(consumer, &entries, now);
        if !entries.is_empty() {
            if request.window.is_none() {
                self.delivery_log.set_background_recovery_due(consumer);
                return self.finish(request.id(), Outcome::Ok(Reply::entries(entries)));
            }
            request.record_progress();
            self.events.push_back(request.push_recovered(entries));
        }
        // The recovery continues until it finds nothing. Then the request itself is sent.
        request.is_recovering = is_due;
        request.queued_at = now;
        self.queue.retry(request);
    }

    /// Delivers what a background recovery found, through a request that waits for entries of the
    /// same consumer. Without one, the consumer's next request finds it again.
    fn deliver_in_background(
        &mut self,
        recovery: &PendingRequest,
        mut entries: Vec<Entry>,
        now: Millis,
    ) {
        let Some(consumer) = recovery.consumer() else {
            return;
        };
        self.delivery_log.set_background_recovery_due(consumer);
        let Some(receiver) = self
            .queue
            .find_receiver(consumer)
            .filter(|_| !entries.is_empty())
        else {
            return;
        };
        let id = receiver.id();
        if receiver.window.is_some() {
            self.delivery_log.record_recovered(consumer, &entries, now);
            self.events.push_back(receiver.push_recovered(entries));
            return;
        }
        let count = receiver.recovery_count();
        if count > 0 {
            entries.truncate(count as usize);
        }
        self.delivery_log.record_recovered(consumer, &entries, now);
        self.finish_wait(id, Outcome::Ok(Reply::entries(entries)));
    }

    /// Finishes a group read that waits. Its own reply may be on its way; then the next recovery
    /// finds what that one delivered.
    fn finish_wait(&mut self, id: u64, outcome: Outcome) {
        self.queue.take_in_flight(id);
        self.cancels.push(id);
        self.finish(id, outcome);
    }

    /// Handles that an entry is too large for the reply to a group read, a claim or a recovery. It
    /// stays pending. The next recovery finds those after it.
    pub(super) fn handle_too_large(
        &mut self,
        mut request: Box<PendingRequest>,
        entry: String,
        fault: Fault,
        now: Millis,
    ) {
        let Some(consumer) = request.receiver() else {
            return self.finish(request.id(), Outcome::Error(fault));
        };
        if request.is_recovering {
            self.delivery_log.end_recovery(consumer, true);
        }
        self.delivery_log.set_background_recovery_due(consumer);
        if request.is_background() {
            // If nobody waits, the next request's recovery meets the entry again.
            let Some(receiver) = self.queue.find_receiver(consumer) else {
                return;
            };
            if !self.delivery_log.record_too_large(consumer, &entry, now) {
                return;
            }
            if receiver.window.is_some() {
                self.events.push_back(receiver.push_skipped(entry));
                return;
            }
            let id = receiver.id();
            return self.finish_wait(id, Outcome::Error(fault));
        }
        let is_news = self.delivery_log.record_too_large(consumer, &entry, now);
        let is_consumer = request.is_recovering && request.window.is_some();
        let is_claim = request.consumer().is_none();
        if is_claim || is_news && !is_consumer {
            return self.finish(request.id(), Outcome::Error(fault));
        }
        if is_news {
            self.events.push_back(request.push_skipped(entry));
        }
        request.queued_at = now;
        self.queue.retry(request);
    }

    /// Saves the unfinished recovery of a request that is over, for other requests of the consumer.
    /// A claim that may be done needs one too. A background recovery is left to the next request:
    /// it ended with its connection, or with an error that another one would meet too.
    pub(super) fn save_recovery(&mut self, request: &PendingRequest) {
        let may_have_lost = request.is_recovering || request.may_be_done;
        if let Some(receiver) = request.receiver().filter(|_| may_have_lost) {
            if request.is_background() {
                self.delivery_log.set_recovery_due(receiver);
            } else {
                self.delivery_log.set_background_recovery_due(receiver);
            }
        }
    }

    /// Records that the reply to a recovery in flight failed, or will be ignored.
    pub(super) fn abandon_recovery(&mut self, request: &PendingRequest) {
        if let Some(consumer) = request.consumer().filter(|_| request.is_recovering) {
            self.delivery_log.end_recovery(consumer, true);
        }
    }
}
