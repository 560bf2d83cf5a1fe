//! Subscriptions: what is pushed, and what more may be.

use streamgate_protocol::error::code;
use streamgate_protocol::message::{Credit, Item, Subscription};
use streamgate_protocol::{CacheError, CacheResult};

use super::subscription_window::{MISFIT, Verdict};
use super::{Ask, Call, Engine, Event, Millis};

impl Engine {
    /// Starts a subscription: any number of [`Event::Pushed`], and then, unless it is cancelled,
    /// exactly one [`Event::Finished`] with an error. It waits to be sent as calls do, and in order
    /// with them. [`cancel`](Self::cancel) ends it.
    ///
    /// `id` is one of [`call`](Self::call)'s.
    pub fn subscribe(&mut self, id: u64, subscription: Subscription<'static>, now: Millis) {
        let credit = self.credit_for(&subscription);
        let ask = Ask::subscription(id, subscription, credit);
        let valid = ask.validate();
        self.admit(Box::new(Call::new(ask)), valid, now);
    }

    /// The owner took what one [`Event::Pushed`] brought: entries that cost so much, or without
    /// entries nothing. A subscription that is over is ignored.
    pub fn consumed(&mut self, id: u64, taken: Credit) {
        if let Some(window) = self.calls.window(id)
            && window.taken(taken)
        {
            self.grants.push(id);
        }
    }

    /// What is about to be granted to a subscription, if it is not over.
    pub(super) fn take_grant(&mut self, id: u64) -> Option<Credit> {
        let call = self.calls.find(id)?;
        if call.ask.look_after.is_some() {
            return None;
        }
        Some(call.window.as_mut()?.grant())
    }

    /// The server pushed something.
    ///
    /// # Errors
    ///
    /// It must not do that.
    pub(super) fn pushed(&mut self, id: u64, item: Item) -> Result<(), &'static str> {
        let verdict = match self.calls.find(id) {
            // It was on its way when the subscription was cancelled.
            None => return Ok(()),
            Some(call) => match &mut call.window {
                None => return Err(MISFIT),
                Some(window) => {
                    call.pause_ms = 0;
                    window.pushed(&item)
                }
            },
        };
        match verdict {
            Verdict::Deliver => {
                self.note_given(id, &item);
                self.events.push_back(Event::Pushed { id, item });
            }
            Verdict::Ignore => {}
            Verdict::Overloaded => {
                self.cancel(id);
                let why = "too much that was pushed waits to be taken";
                self.finish(id, Err(CacheError::from_code(code::OVERLOADED, why)));
            }
            Verdict::Violation(reason) => return Err(reason),
        }
        Ok(())
    }

    /// What a group gave to a consumer is not to be given to it again.
    fn note_given(&mut self, id: u64, item: &Item) {
        if let Item::Entries { entries, .. } = item
            && let Some(call) = self.calls.find(id)
            && let Some(name) = call.ask.consumer()
        {
            self.given.came(name, entries);
        }
    }

    /// A consumer's window is one batch, so that while one is being worked on the next is on its
    /// way, and the others are left to its siblings.
    fn credit_for(&self, subscription: &Subscription<'_>) -> Credit {
        let entries = u64::from(self.config.credit_entries);
        let entries = match subscription {
            Subscription::Tail { .. } => entries,
            Subscription::Consume { batch, .. } => entries.min(*batch),
        };
        // A window of nothing would never be used up, nor filled again.
        Credit {
            entries: entries.max(1),
            bytes: u64::from(self.config.credit_bytes).max(1),
        }
    }

    /// Queues what is asked for, unless it cannot be.
    pub(super) fn admit(&mut self, call: Box<Call>, valid: CacheResult<()>, now: Millis) {
        let id = call.id();
        let admitted = if self.is_ending() {
            Err(CacheError::from_code(code::CLOSED, "the client is closed"))
        } else {
            valid.and_then(|()| self.calls.admit(call, now))
        };
        if let Err(error) = admitted {
            self.finish(id, Err(error));
        }
    }
}
