//! Routes replies and items to those who wait for them, by id.

use std::collections::VecDeque;

use streamgate_protocol::message::Item;
use streamgate_protocol::{CacheResult, Reply};

use crate::client::Permit;
use crate::command::{ItemSender, ReplySender};

#[derive(Debug)]
enum Route {
    Request(ReplySender, Permit),
    Subscription(ItemSender, Permit),
}

/// Sorted by id. Replies come in nearly that order, so the route to remove is nearly always the
/// first.
#[derive(Debug, Default)]
pub(super) struct ReplyRouter {
    routes: VecDeque<(u64, Route)>,
}

impl ReplyRouter {
    pub(super) fn add_request(&mut self, id: u64, reply: ReplySender, permit: Permit) {
        self.insert(id, Route::Request(reply, permit));
    }

    pub(super) fn add_subscription(&mut self, id: u64, items: ItemSender, permit: Permit) {
        self.insert(id, Route::Subscription(items, permit));
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.take(id);
    }

    /// Sends the result of a request, or the end of a subscription. A receiver that was
    /// dropped no longer needs it.
    pub(super) fn finish(&mut self, id: u64, result: CacheResult<Reply>) {
        match self.take(id) {
            Some(Route::Request(reply, permit)) => {
                // The caller may make its next request as soon as it has the reply.
                drop(permit);
                let _ = reply.send(result);
            }
            Some(Route::Subscription(items, _permit)) => {
                let _ = items.send(result.map(|_| None));
            }
            None => {}
        }
    }

    /// Sends an item to its subscription.
    pub(super) fn push(&self, id: u64, item: Item) {
        if let Ok(index) = self.find(id)
            && let (_, Route::Subscription(items, _)) = &self.routes[index]
        {
            let _ = items.send(Ok(Some(item)));
        }
    }

    fn insert(&mut self, id: u64, route: Route) {
        let index = self.routes.partition_point(|(other, _)| *other < id);
        self.routes.insert(index, (id, route));
    }

    fn take(&mut self, id: u64) -> Option<Route> {
        let index = self.find(id).ok()?;
        self.routes.remove(index).map(|(_, route)| route)
    }

    fn find(&self, id: u64) -> Result<usize, usize> {
        self.routes.binary_search_by_key(&id, |(other, _)| *other)
    }
}
