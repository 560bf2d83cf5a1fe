//! Where answers and pushes go, by the id of their call or subscription.

use std::collections::VecDeque;

use streamgate_protocol::message::Item;
use streamgate_protocol::{CacheResult, Reply};
use tokio::sync::{mpsc, oneshot};

/// Where a call's result goes.
pub(crate) type Answer = oneshot::Sender<CacheResult<Reply>>;

/// Where a subscription's items go, and the error that ends it. Bounded by the credit that the
/// engine grants, and by what it lets through without.
pub(crate) type Items = mpsc::UnboundedSender<CacheResult<Item>>;

#[derive(Debug)]
enum Waiting {
    Call(Answer),
    Subscription(Items),
}

/// Sorted by id, like the engine's calls: answers come in nearly that order, so that what goes is
/// nearly always the first.
#[derive(Debug, Default)]
pub(super) struct ReplyRouter {
    waiting: VecDeque<(u64, Waiting)>,
}

impl ReplyRouter {
    pub(super) fn expect(&mut self, id: u64, answer: Answer) {
        self.insert(id, Waiting::Call(answer));
    }

    pub(super) fn expect_items(&mut self, id: u64, items: Items) {
        self.insert(id, Waiting::Subscription(items));
    }

    pub(super) fn forget(&mut self, id: u64) {
        self.take(id);
    }

    /// Who waits may be gone; then nobody wants to know.
    pub(super) fn finished(&mut self, id: u64, result: CacheResult<Reply>) {
        match self.take(id) {
            Some(Waiting::Call(answer)) => {
                let _ = answer.send(result);
            }
            Some(Waiting::Subscription(items)) => {
                if let Err(error) = result {
                    let _ = items.send(Err(error));
                }
            }
            None => {}
        }
    }

    pub(super) fn pushed(&self, id: u64, item: Item) {
        if let Ok(place) = self.place(id)
            && let (_, Waiting::Subscription(items)) = &self.waiting[place]
        {
            let _ = items.send(Ok(item));
        }
    }

    fn insert(&mut self, id: u64, waiting: Waiting) {
        let place = self.waiting.partition_point(|(other, _)| *other < id);
        self.waiting.insert(place, (id, waiting));
    }

    fn take(&mut self, id: u64) -> Option<Waiting> {
        let place = self.place(id).ok()?;
        self.waiting.remove(place).map(|(_, waiting)| waiting)
    }

    fn place(&self, id: u64) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&id, |(other, _)| *other)
    }
}
