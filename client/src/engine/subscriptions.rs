//! Starting subscriptions, receiving what they push, and granting credit.

use streamgate_protocol::error::code;
use streamgate_protocol::message::{Credit, Item};

use super::Engine;
use super::event::EngineEvent;
use super::new_request::NewRequest;
use super::pending_request::PendingRequest;
use super::subscription_window::{PushVerdict, UNEXPECTED_ITEM};
use super::time::Millis;

impl Engine {
    /// Starts a subscription: any number of [`EngineEvent::Pushed`], then, unless it is cancelled,
    /// exactly one [`EngineEvent::Finished`], with an error or by [`close`](Self::close). It waits to
    /// be sent as requests do, and in order with them. [`cancel`](Self::cancel) ends it.
    ///
    /// For `id` the rules of [`request`](Self::request) hold.
    pub fn subscribe(&mut self, id: u64, subscription: impl Into<NewRequest>, now: Millis) {
        let NewRequest(mut request) = subscription.into();
        request.set_id(id);
        let (entries, bytes) = (self.config.credit_entries, self.config.credit_bytes);
        request.set_credit(u64::from(entries), u64::from(bytes));
        self.admit(request, now);
    }

    /// Records that the owner took the item of one [`EngineEvent::Pushed`]. `taken` is the cost of
    /// its entries, 0 without entries. Ignores a subscription that is over.
    pub fn consumed(&mut self, id: u64, taken: Credit) {
        if let Some(window) = self.queue.find_window(id)
            && window.consume(taken)
        {
            self.grants.push(id);
        }
    }

    /// Returns the credit that a subscription is about to be granted, if it is not over.
    pub(super) fn take_grant(&mut self, id: u64) -> Option<Credit> {
        let request = self.queue.find_in_flight(id)?;
        if request.is_recovering {
            return None;
        }
        Some(request.window.as_mut()?.grant())
    }

    /// Handles an item that the server pushed.
    ///
    /// # Errors
    ///
    /// The violation, if the server must not push it.
    pub(super) fn handle_push(&mut self, id: u64, mut item: Item) -> Result<(), &'static str> {
        let verdict = match self.queue.find_in_flight(id) {
            // It was on its way when the subscription was cancelled.
            None => return Ok(()),
            Some(request) => match &mut request.window {
                None => return Err(UNEXPECTED_ITEM),
                Some(window) => {
                    let verdict = window.receive(&item);
                    // The item that only says where a tail begins is none.
                    if !matches!(&item, Item::Entries { entries, .. } if entries.is_empty()) {
                        request.record_progress();
                    }
                    verdict
                }
            },
        };
        match verdict {
            PushVerdict::Deliver => {
                if self.log_delivery(id, &mut item) {
                    self.events.push_back(EngineEvent::Pushed { id, item });
                }
            }
            PushVerdict::Ignore => {}
            PushVerdict::GroupRecreated => {
                if let Some(request) = self.queue.find_in_flight(id)
                    && let Some(consumer) = request.consumer()
                {
                    self.delivery_log.forget_group(consumer);
                }
            }
            PushVerdict::Overloaded => {
                self.cancel(id);
                let why = "too many gaps wait to be taken";
                self.fail(id, code::OVERLOADED, why);
            }
            PushVerdict::Violation(reason) => return Err(reason),
        }
        Ok(())
    }

    /// Logs the entries that a consumer received, so that it does not receive them again, and
    /// removes those that it received through a recovery. Returns whether any are left.
    fn log_delivery(&mut self, id: u64, item: &mut Item) -> bool {
        let Some(request) = self.queue.find_in_flight(id) else {
            return false;
        };
        let Some(consumer) = request.consumer() else {
            return true;
        };
        match item {
            Item::Entries { entries, .. } => {
                let cost = Credit::of(entries);
                self.delivery_log.remove_recovered(consumer, entries, 0);
                self.delivery_log.record(consumer, entries);
                let is_empty = entries.is_empty();
                let removed = cost.minus(Credit::of(entries));
                if removed.entries > 0 {
                    self.consumed(id, removed);
                }
                !is_empty
            }
            Item::Skipped(skipped) => {
                let is_new = self.delivery_log.record_skipped(consumer, &skipped.id);
                if !is_new {
                    self.consumed(id, item.cost());
                }
                is_new
            }
            _ => true,
        }
    }

    /// Queues a request, or finishes it with an error.
    pub(super) fn admit(&mut self, request: Box<PendingRequest>, now: Millis) {
        let id = request.id();
        let is_refused = self.close_at.is_some() && !request.is_ack();
        if self.is_ending() || is_refused {
            self.fail(id, code::CLOSED, "the client is closed");
        } else if !self.queue.admit(request, now) {
            self.fail(id, code::OVERLOADED, "too many requests wait to be sent");
        }
    }
}
