//! Removing a call that no longer waits.

use crate::budget::PENDING_BYTES;
use crate::clock::now_ms;
use crate::store::Store;
use crate::waiter::{WaiterKey, WaiterPlace};

impl Store {
    /// Removes a waiting call. Does nothing if it was served.
    pub(crate) fn unregister(&mut self, waiter: &WaiterKey) {
        let Some(stream) = self.streams.get_mut(&waiter.stream) else {
            return;
        };
        match &waiter.place {
            WaiterPlace::Group(group) => {
                let group = stream.groups.get_mut(group);
                let left = group.and_then(|group| group.waiting.remove(&waiter.number));
                if let Some(left) = left {
                    stream.used_ms = now_ms();
                    self.waiting.give_back(left.bytes);
                    self.pending.give_back(PENDING_BYTES);
                }
            }
            WaiterPlace::Readers { after } => {
                let place = (*after, waiter.number);
                if let Some(left) = stream.waiting_readers.remove(&place) {
                    self.waiting.give_back(left.bytes);
                }
            }
        }
        if stream.is_unused() {
            self.streams.remove(&waiter.stream);
        }
    }
}
