//! Pushing what subscriptions have yielded.

use std::task::Poll;
use std::time::Instant;

use streamgate_backend::turn;

use crate::session::Session;
use crate::session::poll_once::poll_once;
use crate::session::subscriptions::ReadyItem;

impl<S> Session<'_, S> {
    /// Pushes an item and those that are ready after it, while there is room.
    pub(super) async fn push_ready(&mut self, first: ReadyItem) {
        let began = Instant::now();
        self.push(first);
        while self.outgoing.has_room()
            && let Poll::Ready(item) = poll_once(|cx| self.subscriptions.poll_next(cx, true)).await
        {
            self.push(item);
        }
        turn::pass_time(began.elapsed()).await;
    }

    fn push(&mut self, ReadyItem { ticket, item }: ReadyItem) {
        match item {
            Ok(item) => {
                self.recorder.pushed(&item);
                self.outgoing.push_item(ticket.id, &item);
            }
            Err(error) => {
                self.recorder.refused(ticket.operation, error.kind());
                self.in_flight.cancel(ticket);
                self.outgoing.backend_error(ticket.id, &error);
            }
        }
    }
}
