//! Items that the sources of one socket have yielded and that are not pushed yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use streamgate_backend::TailEvent;
use streamgate_protocol::CacheResult;

use crate::session::limits::{MAX_READY_BYTES, MAX_READY_ITEMS};
use crate::session::request_ticket::RequestTicket;

/// An item of a subscription. An error ends the subscription.
pub(in crate::session) struct ReadyItem {
    pub(in crate::session) ticket: RequestTicket,
    pub(in crate::session) item: CacheResult<TailEvent>,
}

/// The queue of ready items, which the subscriptions of a socket share.
#[derive(Clone, Default)]
pub(super) struct ReadyQueue(Arc<Mutex<ReadyItems>>);

#[derive(Default)]
pub(super) struct ReadyItems {
    items: VecDeque<ReadyItem>,
    bytes: u64,
    /// The socket can send more.
    socket_has_room: bool,
    /// Subscriptions to wake when there is room again.
    starved: Vec<Waker>,
    /// Counts the wake-ups of starved subscriptions.
    wakeups: u64,
}

impl ReadyQueue {
    pub(super) fn lock(&self) -> MutexGuard<'_, ReadyItems> {
        // One task owns all clones; a panic ends it with them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets whether the socket has room. If it has, returns the next item, or else wakes the
    /// starved subscriptions.
    pub(super) fn pop_if(&self, socket_has_room: bool) -> Option<ReadyItem> {
        let starved = {
            let mut ready = self.lock();
            ready.socket_has_room = socket_has_room;
            if !socket_has_room {
                return None;
            }
            if let Some(item) = ready.pop() {
                return Some(item);
            }
            ready.wakeups += 1;
            std::mem::take(&mut ready.starved)
        };
        starved.into_iter().for_each(Waker::wake);
        None
    }
}

impl ReadyItems {
    pub(super) fn has_room(&self) -> bool {
        self.socket_has_room && self.items.len() < MAX_READY_ITEMS && self.bytes < MAX_READY_BYTES
    }

    /// Returns whether there are items, or subscriptions that wait for room.
    pub(super) fn is_held_up(&self) -> bool {
        !self.items.is_empty() || !self.starved.is_empty()
    }

    /// Returns the bytes of the entries in the queue.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, item: ReadyItem) {
        self.bytes += item.bytes();
        self.items.push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<ReadyItem> {
        let item = self.items.pop_front()?;
        self.bytes -= item.bytes();
        Some(item)
    }

    /// Registers a starved subscription, once for each wake-up: others may have taken the room that
    /// it was woken for.
    pub(super) fn register_starved(&mut self, registered_for: &mut Option<u64>, waker: &Waker) {
        let wakeup = Some(self.wakeups);
        if std::mem::replace(registered_for, wakeup) != wakeup {
            self.starved.push(waker.clone());
        }
    }

    /// Removes the items of a subscription that was cancelled.
    pub(super) fn remove_items_of(&mut self, ticket: RequestTicket) {
        let bytes = &mut self.bytes;
        self.items.retain(|item| {
            let keep = item.ticket != ticket;
            *bytes -= if keep { 0 } else { item.bytes() };
            keep
        });
    }
}

impl ReadyItem {
    fn bytes(&self) -> u64 {
        match &self.item {
            Ok(TailEvent::Segment(segment)) => segment.cost().bytes,
            Ok(TailEvent::Gap(_) | TailEvent::Skipped(_)) | Err(_) => 0,
        }
    }
}
