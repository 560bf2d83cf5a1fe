//! The messages to the hub's task.

use std::sync::Arc;

use crate::connection::invalidations::Arming;
use crate::hub::feed::FeedSubscriber;
use crate::hub::waiter::{GroupReadWaiter, ReadWaiter, WaiterKey};

/// A message to the hub's task.
pub(super) enum HubMessage {
    /// Waits for entries of a stream after an id. The reader's own read may have armed the stream
    /// and found nothing.
    Read(Arc<[u8]>, ReadWaiter, Option<Arming>),
    /// Waits for entries of a group. The same holds for the consumer's own group read.
    ReadGroup(GroupReadWaiter, Option<Arming>),
    /// Joins the feed of a stream.
    JoinFeed(Arc<[u8]>, FeedSubscriber),
    CancelWait(WaiterKey),
    /// Leaves the feed of a stream, by the subscriber's number.
    LeaveFeed(Arc<[u8]>, u64),
}
