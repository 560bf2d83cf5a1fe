//! Every reply of the server: to requests, to idempotent adds, to recoveries, and errors.

use streamgate_protocol::error::code;
use streamgate_protocol::message::{Credit, Item, Outcome};
use streamgate_protocol::{CacheError, CacheResult, Claimed, Reply, Retry, StreamEntry};

use super::Engine;
use super::event::EngineEvent;
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
        let result = CacheResult::from(outcome);
        if request.is_idempotent_add() {
            self.handle_idempotent_add(request, result, now);
            return Ok(());
        }
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                self.handle_error(request, error, now);
                return Ok(());
            }
        };
        if request.recover_after.is_some() {
            self.handle_recovery(request, reply, now);
        } else if request.window.is_some() {
            let violation = "the server replied to a subscription";
            self.finish(id, Err(CacheError::from_code(code::PROTOCOL, violation)));
            return Err(violation);
        } else {
            if let Some(receiver) = request.receiver()
                && let Reply::Entries { entries, .. } | Reply::Claimed(Claimed { entries, .. }) =
                    &reply
            {
                self.delivery_log.record(receiver, entries);
            }
            self.finish(id, Ok(reply));
        }
        Ok(())
    }

    /// Handles an error. If the server lacked its backend, the request is retried after a pause, as
    /// long as its owner has patience; entries that the backend may have delivered are recovered
    /// first.
    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    fn handle_error(&mut self, mut request: Box<PendingRequest>, error: CacheError, now: Millis) {
        let is_recovery = request.recover_after.is_some();
        if is_recovery && error.code() == code::LIMIT && request.halve_recovery() {
            return self.queue.retry(request);
        }
        let retry = error.retry();
        let mut retries = retry != Retry::Never;
        if !is_recovery {
            let is_unknown = retry == Retry::Unknown;
            retries &= if is_unknown {
                request.retry_policy(now) != RetryPolicy::Fail
            } else {
                request.retries_after(&error)
            };
            match request.consumer() {
                // A reclaim may have delivered entries although the read failed.
                Some(consumer) if is_unknown || request.reclaims() => {
                    request.recover_after = self.delivery_log.recovery_start(consumer);
                    retries &= request.recover_after.is_some();
                }
                Some(_) => {}
                None => request.may_be_done |= is_unknown,
            }
        }
        request.record_failure(u64::from(self.config.stable_after_ms), now);
        if retries && self.queue.has_patience(&request, now) {
            request.pause(now, &mut self.jitter);
            return self.queue.retry(request);
        }
        self.save_recovery(&request);
        let is_unknown = request.may_be_done || retries && request.recover_after.is_some();
        let error = if retry != Retry::Never && is_unknown {
            CacheError::from_code(code::UNKNOWN_OUTCOME, error.message())
        } else {
            error
        };
        self.finish(request.id(), Err(error));
    }

    /// Handles the reply to an idempotent add. An add that the server refused, or whose outcome it
    /// does not know, is sent again together with those after it.
    fn handle_idempotent_add(
        &mut self,
        mut request: Box<PendingRequest>,
        result: CacheResult<Reply>,
        now: Millis,
    ) {
        let Some((stream, number)) = request.idempotent_add() else {
            return;
        };
        let error = match result {
            Ok(reply) => {
                self.producers.record_stored(stream, number.number);
                return self.finish(request.id(), Ok(reply));
            }
            Err(error) => error,
        };
        let may_be_done = request.may_be_done;
        let retries = match error.code() {
            code::OUT_OF_ORDER => {
                self.producers.record_out_of_order(stream, number.after);
                true
            }
            code::UNKNOWN_OUTCOME | code::TRYAGAIN => true,
            code::FORGOTTEN | code::SKIPPED => false,
            _ => may_be_done && error.retry() == Retry::Later,
        };
        if retries {
            self.producers.stall(stream, now, &mut self.jitter);
            request.may_be_done |= error.code() == code::UNKNOWN_OUTCOME;
            request.mark_retried(now);
            return self.queue.retry(request);
        }
        self.producers.record_failed(stream);
        let is_known = error.code() == code::SKIPPED || !may_be_done;
        let error = if is_known && error.code() != code::FORGOTTEN {
            error
        } else {
            CacheError::from_code(code::UNKNOWN_OUTCOME, error.message())
        };
        self.finish(request.id(), Err(error));
    }

    /// Handles the reply to a recovery: entries that are pending for the consumer. Those that did
    /// not arrive before are delivered to the owner.
    fn handle_recovery(&mut self, mut request: Box<PendingRequest>, reply: Reply, now: Millis) {
        let found = reply.into_entries();
        let (mut entries, consumer) = match (found, request.consumer()) {
            (Ok(entries), Some(consumer)) => (entries, consumer),
            (Ok(_), None) => return,
            (Err(error), _) => return self.finish(request.id(), Err(error)),
        };
        let last = entries.last().map(|(id, _)| id.clone());
        self.delivery_log.retain_new(consumer, &mut entries);
        self.delivery_log.record(consumer, &entries);
        self.delivery_log
            .save_recovery_cursor(consumer, last.as_ref());
        if !entries.is_empty() {
            request.record_progress();
        }
        if request.window.is_none() && !entries.is_empty() {
            return self.finish(request.id(), Ok(Reply::entries(entries)));
        }
        self.deliver_recovered(&mut request, entries);
        // The recovery continues until it finds nothing. Then the request itself is sent.
        request.recover_after = last;
        request.queued_at = now;
        self.queue.retry(request);
    }

    /// Delivers entries to a subscription as if they had been pushed.
    fn deliver_recovered(&mut self, request: &mut PendingRequest, entries: Vec<StreamEntry>) {
        if let Some(window) = &mut request.window
            && !entries.is_empty()
        {
            window.add_recovered(Credit::of(&entries));
            let item = Item::Entries {
                entries,
                position: None,
            };
            let id = request.id();
            self.events.push_back(EngineEvent::Pushed { id, item });
        }
    }

    /// Saves the unfinished recovery of a request that is over, for the consumer's next request.
    pub(super) fn save_recovery(&mut self, request: &PendingRequest) {
        if let (Some(consumer), Some(after)) = (request.consumer(), &request.recover_after) {
            self.delivery_log
                .save_recovery_cursor(consumer, Some(after));
        }
    }
}
