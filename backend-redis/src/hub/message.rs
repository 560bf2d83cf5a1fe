//! The messages to the hub's task.

use std::sync::Arc;

use crate::hub::feed::FeedSubscriber;
use crate::hub::waiter::{GroupReadWaiter, ReadWaiter, WaiterKey};

/// A message to the hub's task.
pub(super) enum HubMessage {
    /// Waits for entries of a stream after an id.
    Read(Arc<[u8]>, ReadWaiter),
    /// Waits for entries of a group.
    ReadGroup(GroupReadWaiter),
    /// Joins the feed of a stream.
    JoinFeed(Arc<[u8]>, FeedSubscriber),
    CancelWait(WaiterKey),
    /// Leaves the feed of a stream, by the subscriber's number.
    LeaveFeed(Arc<[u8]>, u64),
}
