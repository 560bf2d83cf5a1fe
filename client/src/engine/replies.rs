//! Every reply of the server: to requests, to idempotent adds, to recoveries, and errors.

use streamgate_protocol::error::code;
use streamgate_protocol::message::{Fault, Outcome};
use streamgate_protocol::{Claimed, Reply, Retry};

use super::Engine;
use super::client_fault::fault;
use super::pending_request::PendingRequest;
use super::retry_policy::RetryPolicy;
use super::time::Millis;

impl Engine {
    /// Handles a reply.
    ///
    /// # Errors
    ///
    /// The violation, if the server must not send it.
    pub(super) fn handle_reply(
        &mut self,
        id: u64,
        outcome: Outcome,
        now: Millis,
    ) -> Result<(), &'static str> {
        let Some(request) = self.queue.take_in_flight(id) else {
            // It was on its way when the request was cancelled.
            return Ok(());
        };
        match outcome {
            _ if request.is_idempotent_add() => self.handle_idempotent_add(request, outcome, now),
            Outcome::Error(mut fault) => match fault.entry.take() {
                Some(entry) => self.handle_too_large(request, entry, fault, now),
                None => self.handle_error(request, fault, now),
            },
            Outcome::Ok(reply) if request.is_recovering => {
                self.handle_recovery(request, reply, now);
            }
            Outcome::Ok(_) if request.window.is_some() => {
                let violation = "the server replied to a subscription";
                self.fail(id, code::PROTOCOL, violation);
                return Err(violation);
            }
            Outcome::Ok(reply) => self.handle_success(request, reply, now),
        }
        Ok(())
    }

    fn handle_success(&mut self, mut request: Box<PendingRequest>, mut reply: Reply, now: Millis) {
        if let Some((stream, group, ids)) = request.acknowledged() {
            self.delivery_log.record_acknowledged(stream, group, &ids);
        }
        if let Some(receiver) = request.receiver()
            && let Reply::Entries { entries, more, .. }
            | Reply::Claimed(Claimed { entries, more, .. }) = &mut reply
        {
            let is_empty = entries.is_empty();
            let is_claim = request.consumer().is_none();
            // A claim delivers again what its owner received before it.
            let since = if is_claim { request.last_sent_at } else { 0 };
            self.delivery_log.remove_recovered(receiver, entries, since);
            self.delivery_log.record(receiver, entries);
            if *more {
                self.delivery_log.set_background_recovery_due(receiver);
            }
            if entries.is_empty() && !is_empty && !is_claim {
                // The owner has all of it. The wait goes on.
                request.queued_at = now;
                return self.queue.retry(request);
            }
        }
        self.finish(request.id(), Outcome::Ok(reply));
    }

    /// Handles an error. If the server lacked its backend, the request is retried after a pause, as
    /// long as its owner has patience; entries that the backend may have delivered are recovered
    /// first.
    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    fn handle_error(&mut self, mut request: Box<PendingRequest>, error: Fault, now: Millis) {
        let retry = Retry::of_word(&error.retry);
        let is_recovery = request.is_recovering;
        self.abandon_recovery(&request);
        if is_recovery
            && request.creates_group()
            && error.code == code::NOGROUP
            && let Some(consumer) = request.consumer()
        {
            // Nothing is pending any more. The server creates the group for the subscription.
            self.delivery_log.forget_group(consumer);
            request.is_recovering = false;
            request.queued_at = now;
            return self.queue.retry(request);
        }
        let mut retries = retry != Retry::Never;
        if !is_recovery {
            let is_unknown = retry == Retry::Unknown;
            retries &= if is_unknown {
                request.retry_policy(now) != RetryPolicy::Fail
            } else {
                request.retries_after(&error.code)
            };
            match request.consumer() {
                // A reclaim may have delivered entries although the read failed.
                Some(consumer) if is_unknown || request.reclaims() => {
                    request.is_recovering = self.delivery_log.set_recovery_due(consumer);
                    retries &= request.is_recovering;
                }
                Some(_) => {}
                None => request.may_be_done |= is_unknown,
            }
        }
        request.record_failure(u64::from(self.config.stable_after_ms), now);
        let retry_at = retry_at(&error, now);
        request.mark_retried(now);
        if retries && self.queue.has_patience(&request, retry_at) {
            request.pause(now, retry_at, &mut self.jitter);
            return self.queue.retry(request);
        }
        self.save_recovery(&request);
        let is_unknown = request.may_be_done || retries && request.is_recovering;
        let error = if retry != Retry::Never && is_unknown {
            fault(code::UNKNOWN_OUTCOME, &error.message)
        } else {
            error
        };
        self.finish(request.id(), Outcome::Error(error));
    }

    /// Handles the reply to an idempotent add. An add that the server refused, or whose outcome it
    /// does not know, is sent again together with those after it.
    fn handle_idempotent_add(
        &mut self,
        mut request: Box<PendingRequest>,
        outcome: Outcome,
        now: Millis,
    ) {
        let Some((stream, number)) = request.idempotent_add() else {
            return;
        };
        let error = match outcome {
            Outcome::Ok(_) => {
                self.producers.record_stored(stream, number.number);
                return self.finish(request.id(), outcome);
            }
            Outcome::Error(error) => error,
        };
        let may_be_done = request.may_be_done;
        let retries = match &*error.code {
            code::OUT_OF_ORDER => {
                self.producers.record_out_of_order(stream, number.after);
                true
            }
            code::UNKNOWN_OUTCOME | code::TRYAGAIN => true,
            code::FORGOTTEN | code::SKIPPED => false,
            _ => may_be_done && Retry::of_word(&error.retry) == Retry::Later,
        };
        if retries {
            let retry_at = retry_at(&error, now);
            self.producers
                .stall(stream, now, retry_at, &mut self.jitter);
            request.may_be_done |= error.code == code::UNKNOWN_OUTCOME;
            request.mark_retried(now);
            return self.queue.retry(request);
        }
        self.producers.record_failed(stream);
        let is_known = error.code == code::SKIPPED || !may_be_done;
        let error = if is_known && error.code != code::FORGOTTEN {
            error
        } else {
            fault(code::UNKNOWN_OUTCOME, &error.message)
        };
        self.finish(request.id(), Outcome::Error(error));
    }
}

/// When a request that failed may be sent again at the earliest.
fn retry_at(fault: &Fault, now: Millis) -> Millis {
    now.saturating_add(fault.retry_after_ms.unwrap_or_default())
}
