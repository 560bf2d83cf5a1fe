//! A tail's membership in a feed: its queue, and leaving the feed on drop.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use crate::hub::feed::feed_queue::FeedQueue;
use crate::hub::message::HubMessage;

/// A tail's membership in its stream's feed. Dropping it leaves the feed.
pub(crate) struct FeedHandle {
    pub(crate) queue: Arc<FeedQueue>,
    stream: Arc<[u8]>,
    number: u64,
    hub: UnboundedSender<HubMessage>,
}

impl FeedHandle {
    pub(in crate::hub) fn new(
        queue: Arc<FeedQueue>,
        stream: Arc<[u8]>,
        number: u64,
        hub: UnboundedSender<HubMessage>,
    ) -> Self {
        Self {
            queue,
            stream,
            number,
            hub,
        }
    }
}

impl Drop for FeedHandle {
    fn drop(&mut self) {
        // If the hub's task has ended, so has the feed.
        let stream = Arc::clone(&self.stream);
        let _ = self.hub.send(HubMessage::LeaveFeed(stream, self.number));
    }
}
