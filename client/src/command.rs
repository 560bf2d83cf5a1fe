//! What handles send to the driver, and the channels on which it answers.

use streamgate_protocol::message::{Credit, Item, Subscription};
use streamgate_protocol::{CacheResult, Reply};
use tokio::sync::{mpsc, oneshot};

use crate::client::{Permit, QueuedSignal};
use crate::engine::NewRequest;

/// Takes the result of one request.
pub(crate) type ReplySender = oneshot::Sender<CacheResult<Reply>>;

/// Takes a subscription's items, and what ends it: an error, or `None` if its owner closed the
/// client. Bounded by the credit that the engine grants, and by its limit on items that cost none.
pub(crate) type ItemSender = mpsc::UnboundedSender<CacheResult<Option<Item>>>;

/// A command of a handle to the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Request {
        id: u64,
        request: NewRequest,
        reply: ReplySender,
        permit: Permit,
    },
    Subscribe {
        id: u64,
        /// Boxed because every command is as large as the largest.
        subscription: Box<Subscription<'static>>,
        items: ItemSender,
        permit: Permit,
    },
    /// The owner took one of a subscription's items.
    Consumed {
        id: u64,
        taken: Credit,
    },
    /// The request's future, or the subscription's stream, was dropped.
    Cancel {
        id: u64,
    },
    NetworkChanged(QueuedSignal),
    /// Close once all requests are done, or this time in milliseconds is over.
    Close(u64, QueuedSignal),
    /// End at once.
    Abort(QueuedSignal),
}
