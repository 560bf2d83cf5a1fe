//! The end of a socket that the server gives up without need: nothing that was begun is left in
//! doubt.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use streamgate_protocol::close;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::session::Session;
use crate::session::subscriptions::Subscriptions;
use crate::session::waiting::Batch;
use crate::socket::{Ending, Event};
use streamgate_backend::Progress;

/// Longest time that what is being performed is waited for. A backend that answers takes
/// milliseconds; the rest of a socket's time to end is for a client on a slow line.
const FINISH_TIMEOUT: Duration = Duration::from_secs(3);

impl<'b, S: AsyncRead + AsyncWrite + Unpin> Session<'b, S> {
    /// Takes nothing more from the client, ends what waits, and answers what is being performed.
    /// What it does not send is left for [`close`](Session::close).
    pub(super) async fn finish(&mut self) -> Ending {
        self.give_what_is_there().await;
        self.requests.end_lasting();
        self.waits = FuturesUnordered::new();
        self.subscriptions = Subscriptions::default();
        let mut overdue = std::pin::pin!(tokio::time::sleep(FINISH_TIMEOUT));
        while !self.performing.is_empty() {
            if let Err(ending) = self.send().await {
                return ending;
            }
            let room = self.outgoing.has_room();
            tokio::select! {
                biased;
                Some((batch, progress)) = self.performing.next(), if room => {
                    self.finished(batch, progress);
                }
                event = poll_fn(|cx| self.socket.poll_event(cx, false)) => {
                    if let Event::Ended(ending) = event {
                        return ending;
                    }
                }
                () = &mut overdue => break,
            }
        }
        Ending::close(close::GOING_AWAY, "the server shuts down")
    }

    /// Entries that a group has handed out already would be pending for nobody.
    async fn give_what_is_there(&mut self) {
        while self.outgoing.has_room()
            && let Some(Some((ticket, result))) = self.waits.next().now_or_never()
        {
            self.waited(ticket, result.ok());
        }
        let room = self.outgoing.has_room();
        if let Poll::Ready(pushed) =
            poll_fn(|cx| Poll::Ready(self.subscriptions.poll_next(cx, room))).await
        {
            self.push_all(pushed).await;
        }
    }

    /// Answers those of a batch that are over. Those that would wait end with the socket.
    fn finished(&mut self, batch: Batch, progress: Vec<Progress<'b>>) {
        for (ticket, progress) in batch.tickets.into_iter().zip(progress) {
            if let Progress::Done(result) = progress {
                self.answer(ticket, result);
            }
        }
    }
}
