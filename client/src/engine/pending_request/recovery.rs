//! Finding the entries of a lost delivery.

use streamgate_protocol::message::Item;
use streamgate_protocol::{Entry, Skipped};

use super::PendingRequest;
use crate::engine::delivery_log::{ConsumerKey, DeliveryLog};
use crate::engine::encoded_request::EncodedRequest;
use crate::engine::event::EngineEvent;

/// The bit that is set in the ids of background recoveries, and in no owner's.
const BACKGROUND_BIT: u32 = 52;

/// Whether it is the id of a background recovery.
pub(in crate::engine) const fn is_background_id(id: u64) -> bool {
    id >> BACKGROUND_BIT == 1
}

impl PendingRequest {
    /// Returns a recovery that no request of the owner begins with. `number` is a new one.
    pub(in crate::engine) fn background_recovery(
        number: u64,
        consumer: ConsumerKey<'_>,
        count: u64,
    ) -> Self {
        let mut request = Self::new(EncodedRequest::read_pending(consumer, "0-0", count, &[]));
        request.set_id((1 << BACKGROUND_BIT) + number);
        // It goes before all that were not sent yet.
        request.was_sent = true;
        request.is_recovering = true;
        request
    }

    /// Whether it is a background recovery.
    pub(in crate::engine) const fn is_background(&self) -> bool {
        is_background_id(self.id)
    }

    /// Returns the request that looks for lost entries, if it begins with one.
    pub(in crate::engine) fn recovery_request(&self, log: &DeliveryLog) -> Option<EncodedRequest> {
        let consumer = self.consumer().filter(|_| self.is_recovering)?;
        let (after, except) = log.recovery_range(consumer);
        let (after, count) = (String::from(after), self.recovery_count());
        Some(EncodedRequest::read_pending(
            consumer, &after, count, &except,
        ))
    }

    /// Delivers entries to a subscription as if they had been pushed.
    pub(in crate::engine) fn push_recovered(&mut self, entries: Vec<Entry>) -> EngineEvent {
        if let (Some(window), Some(last)) = (&mut self.window, entries.last()) {
            window.record_recovered(&last.id);
        }
        self.push(Item::Entries {
            entries,
            position: None,
        })
    }

    /// Tells the owner of a subscription of an entry that was too large for a recovery, which does
    /// not know its size.
    pub(in crate::engine) fn push_skipped(&mut self, entry: String) -> EngineEvent {
        self.push(Item::Skipped(Skipped::new(entry, 0)))
    }

    fn push(&mut self, item: Item) -> EngineEvent {
        if let Some(window) = &mut self.window {
            window.add_recovered(item.cost());
        }
        let id = self.id;
        EngineEvent::Pushed { id, item }
    }

    /// Whether a consumer can take nothing from a recovery.
    pub(in crate::engine) fn has_no_room(&self) -> bool {
        self.is_subscription() && self.window_room() == 0
    }

    /// How many entries it can take from a recovery; 0 for no limit.
    pub(in crate::engine) fn recovery_count(&self) -> u64 {
        let count = self.request.count();
        if self.is_subscription() {
            self.window_room().min(count)
        } else {
            count
        }
    }
}
