//! How a session ends.
//!
//! When a shutdown reaches a socket, the server reads no further from it, ends its waits and
//! subscriptions, and answers the operations that it has begun: so none of them has an unknown
//! outcome. `shutdown.rs` decides when that is.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use streamgate_backend::Progress;
use streamgate_protocol::close;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::session::Session;
use crate::session::backend_work::{BackendWork, EndedWork};
use crate::session::batch::RequestBatch;
use crate::session::poll_once::poll_once;
use crate::session::subscriptions::Subscriptions;
use crate::session::waiting::WaitingRequest;
use crate::socket::{CloseReason, SocketProgress};

/// Longest time for which a closing session awaits the operations that it has begun.
///
/// A backend answers within milliseconds. The rest of [`CLOSE_TIMEOUT`](crate::CLOSE_TIMEOUT) is
/// for a client on a slow line.
pub(super) const FINISH_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time for which a newer session of a client awaits the operations that the one before it,
/// or that one in a tenant before, has begun.
pub(super) const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time for which the socket of an evicted session is kept, so that its client learns why.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(500);

impl<'b, S: AsyncRead + AsyncWrite + Unpin> Session<'b, S> {
    /// Reads no further, ends waits and subscriptions, and answers the operations being performed.
    ///
    /// [`close`](Session::close) sends the frames that this does not send.
    pub(super) async fn finish(&mut self, reason: CloseReason) -> CloseReason {
        self.deliver_ready_entries().await;
        self.in_flight.cancel_ongoing().await;
        self.work.drop_waits();
        self.subscriptions = Subscriptions::new(self.outgoing.bound());
        let mut timeout = std::pin::pin!(tokio::time::sleep(FINISH_TIMEOUT));
        while !self.work.is_empty() {
            if let Err(reason) = self.send().await {
                return reason;
            }
            let room = self.outgoing.has_room();
            tokio::select! {
                biased;
                Some(ended) = self.work.next(), if room => match ended {
                    EndedWork::Batch(batch, progress) => self.answer_done(batch, progress),
                    EndedWork::Request(ended) => self.request_ended(ended),
                },
                progress = poll_fn(|cx| self.socket.poll_progress(cx, false)) => {
                    if let SocketProgress::Closed(reason) = progress {
                        return reason;
                    }
                }
                () = &mut timeout => break,
            }
        }
        reason
    }

    /// Ends every wait, and closes the socket. Meanwhile the backend finishes the operations that
    /// it has begun: a client may send its last add and leave.
    pub(super) async fn close(self, reason: &CloseReason, deadline: Instant) {
        let Self {
            mut socket,
            mut outgoing,
            mut work,
            memory,
            subscriptions,
            mut in_flight,
            control,
            registration,
            former_registrations,
            remaining_frames,
            limits,
            ..
        } = self;
        // A consumer that has gone must not get entries.
        in_flight.cancel_ongoing().await;
        work.drop_waits();
        drop((in_flight, subscriptions, control));
        // The client's next socket may need the place among those of its subject.
        drop((remaining_frames, limits));
        let is_taken_over = reason.has_code(close::TAKEN_OVER);
        let is_evicted = reason.is_eviction();
        if is_evicted {
            // Others wait for this memory. What the backend has begun it performs all the same.
            outgoing.discard();
            work = BackendWork::default();
            socket.discard_all();
        }
        let finish_until = if is_taken_over {
            Instant::now() + TAKE_OVER_TIMEOUT
        } else {
            deadline
        };
        let finish = async move {
            let finished = async {
                while let Some(ended) = work.next().await {
                    let EndedWork::Batch(batch, progress) = ended else {
                        continue;
                    };
                    for (ticket, progress) in batch.tickets.into_iter().zip(progress) {
                        if let Progress::Continuing { future, .. } = progress {
                            work.add_continuing(WaitingRequest::new(ticket, future).1);
                        }
                    }
                }
            };
            // Late operations are dropped: the client may repeat them on its new socket.
            let _ = tokio::time::timeout_at(finish_until, finished).await;
            drop(work);
            // From here on this session takes nothing from the backend.
            drop((registration, former_registrations));
        };
        let memory = (!is_evicted).then_some(memory);
        let pieces = std::iter::from_fn(|| (!is_taken_over).then(|| outgoing.next_piece())?);
        let close_until = if is_evicted {
            deadline.min(Instant::now() + EVICTION_TIMEOUT)
        } else {
            deadline
        };
        let close = socket.close(pieces, reason, close_until);
        let evicted = async {
            match &memory {
                Some(memory) => memory.share().evicted().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = futures_util::future::join(finish, close) => {}
            () = evicted => {}
        }
        // What is sent last counts until its end.
        drop(memory);
    }

    /// Delivers entries that are ready: a group has assigned them already, and without a delivery
    /// they would stay pending.
    async fn deliver_ready_entries(&mut self) {
        while self.outgoing.has_room()
            && let Some(ended) = self.work.next_ended_wait()
        {
            self.request_ended(ended);
        }
        let room = self.outgoing.has_room();
        if let Poll::Ready(item) = poll_once(|cx| self.subscriptions.poll_next(cx, room)).await {
            self.push_ready(item).await;
        }
    }

    /// Answers the requests of a batch that are done, and lets those go on that take further round
    /// trips. Those that would wait end with the socket.
    fn answer_done(&mut self, batch: RequestBatch, progress: Vec<Progress<'b>>) {
        for (ticket, progress) in batch.tickets.into_iter().zip(progress) {
            match progress {
                Progress::Done(result) => self.reply(ticket, result),
                Progress::Continuing { future, .. } => self.continue_performing(ticket, future),
                Progress::Waiting { .. } => {}
            }
        }
    }
}
