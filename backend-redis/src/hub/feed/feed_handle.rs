//! The follower's side of a feed.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use crate::hub::feed::feed_queue::FeedQueue;
use crate::hub::message::HubMessage;

/// Takes part in a stream's feed until it is dropped.
pub(crate) struct FeedHandle {
    pub(crate) queue: Arc<FeedQueue>,
    stream: Arc<str>,
    number: u64,
    hub: UnboundedSender<HubMessage>,
}

impl FeedHandle {
    pub(crate) fn new(
        queue: Arc<FeedQueue>,
        stream: Arc<str>,
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
        // Without a hub there is no feed any more.
        let stream = Arc::clone(&self.stream);
        let _ = self.hub.send(HubMessage::LeaveFeed(stream, self.number));
    }
}
