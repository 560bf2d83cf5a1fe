//! The follower's side of a feed.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use crate::hub::feed::queue::Queue;
use crate::hub::message::Message;

/// Takes part in a stream's feed until it is dropped.
pub(crate) struct Seat {
    pub(crate) queue: Arc<Queue>,
    stream: Arc<str>,
    number: u64,
    hub: UnboundedSender<Message>,
}

impl Seat {
    pub(crate) fn new(
        queue: Arc<Queue>,
        stream: Arc<str>,
        number: u64,
        hub: UnboundedSender<Message>,
    ) -> Self {
        Self {
            queue,
            stream,
            number,
            hub,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Without a hub there is no feed any more.
        let stream = Arc::clone(&self.stream);
        let _ = self.hub.send(Message::Unfollow(stream, self.number));
    }
}
