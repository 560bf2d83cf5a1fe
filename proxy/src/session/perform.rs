//! The way of requests through a session: dispatched, performed by the backend, answered.
//!
//! Frames that arrived together are performed together: a frame costs little, a round trip to Redis
//! much. Operations keep their order, because the session begins each batch before it decodes the
//! next. Replies are sent as they become ready.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_backend::{Progress, turn};
use streamgate_protocol::{CacheError, CacheResult, Reply, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::Bytes;
use tracing::Level;

use crate::large_requests::LargeRequests;
use crate::session::Session;
use crate::session::authentication::check_hello_bytes;
use crate::session::backend_work::{EndedRequest, EndedWork};
use crate::session::batch::{PerformingBatch, RequestBatch};
use crate::session::dispatch::{AdmittedSubscription, DispatchContext, Dispatched, dispatch};
use crate::session::in_flight::OngoingHandle;
use crate::session::large_turn::LargeTurn;
use crate::session::limits::{
    MAX_BATCH_BYTES, MAX_BATCH_FRAMES, MAX_PERFORMING_BYTES, READ_REPLY_BYTES,
};
use crate::session::memory::HeldBytes;
use crate::session::poll_once::poll_once;
use crate::session::reading_turns::spend_reading;
use crate::session::request_ticket::RequestTicket;
use crate::session::waiting::WaitingRequest;
use crate::socket::{CloseReason, SocketProgress};

impl<'b, S: AsyncRead + AsyncWrite + Unpin> Session<'b, S> {
    /// Dispatches a frame and those after it that can be read without waiting.
    pub(super) async fn dispatch_new(&mut self, first: Bytes) -> Result<(), CloseReason> {
        let began = Instant::now();
        if self.awaits_hello() {
            check_hello_bytes(first.len())?;
        }
        let (frames, closed) = self.ready_frames(first).await;
        self.dispatch(frames, began).await?;
        closed.map_or(Ok(()), Err)
    }

    /// Dispatches frames that earlier turns have left.
    pub(super) async fn dispatch_remaining(&mut self) -> Result<(), CloseReason> {
        let frames = Vec::from(std::mem::take(&mut self.remaining_frames));
        self.dispatch(frames, Instant::now()).await
    }

    /// Begins what frames ask for. After a violation it still performs what came before that.
    ///
    /// The turn is spent from `began` on, when the session began to read the frames.
    async fn dispatch(&mut self, frames: Vec<Bytes>, began: Instant) -> Result<(), CloseReason> {
        let Dispatched {
            operations,
            batch,
            cancellations,
            is_greeting,
            subscription,
            new_token,
            remaining,
            violation,
        } = dispatch(
            &frames,
            DispatchContext {
                backend: self.backend,
                access: &self.access,
                recorder: &self.recorder,
            },
            &mut self.limits,
            &mut self.handshake,
            &mut self.in_flight,
            &mut self.memory,
            &mut self.outgoing,
        );
        self.remaining_frames = remaining;
        if let Some(pause) = self.limits.take_pause() {
            self.recorder.paused(pause.of);
            self.read_after = self.read_after.max(Some(pause.end));
        }
        if is_greeting {
            self.greet().await?;
        }
        let mut began = began;
        let mut permit = None;
        if LargeRequests::are_large(batch.moved_bytes) {
            // On the heap: otherwise every socket holds room for it.
            match Box::pin(self.large_turn(batch.moved_bytes)).await? {
                LargeTurn::Begins(turn) => permit = turn,
                LargeTurn::RightsChanged => {
                    self.refuse_unbegun(batch, subscription);
                    if let Some(token) = new_token {
                        Box::pin(self.renew_token(&token)).await?;
                    }
                    return violation.map_or(Ok(()), Err);
                }
                LargeTurn::Leaves => return Ok(()),
            }
            began = Instant::now();
        }
        if !operations.is_empty() {
            self.work.begin(&batch);
            let options = self.outgoing.bound().perform_options();
            let options = options.cancellations(cancellations).permit(permit);
            let performing = self.backend.perform(operations, options);
            let mut performing = PerformingBatch::new(batch, performing);
            match poll_once(|cx| performing.poll_unpin(cx)).await {
                Poll::Ready((batch, progress)) => self.batch_performed(batch, progress).await,
                Poll::Pending => self.work.add_batch(performing),
            }
        }
        if let Some(subscription) = subscription {
            self.subscribe(subscription).await;
        }
        if let Some(token) = new_token {
            // On the heap, as rare things are.
            Box::pin(self.renew_token(&token)).await?;
        }
        spend_reading(began.elapsed()).await;
        violation.map_or(Ok(()), Err)
    }

    /// Returns the frame and those that can be read without waiting, up to a bound; and the close
    /// if it follows them at once.
    async fn ready_frames(&mut self, first: Bytes) -> (Vec<Bytes>, Option<CloseReason>) {
        let mut bytes = first.len();
        let mut frames = vec![first];
        self.recorder.received(bytes);
        // Without a valid token a client gathers nothing.
        let max_frames = if self.awaits_hello() {
            1
        } else {
            MAX_BATCH_FRAMES
        };
        while frames.len() < max_frames && bytes < MAX_BATCH_BYTES {
            match poll_once(|cx| self.socket.poll_read(cx)).await {
                Poll::Ready(SocketProgress::Frame(frame)) => {
                    bytes += frame.len();
                    self.recorder.received(frame.len());
                    frames.push(frame);
                }
                Poll::Ready(
                    SocketProgress::Heard | SocketProgress::Arriving | SocketProgress::Flushed,
                ) => {}
                Poll::Ready(SocketProgress::Closed(reason)) => return (frames, Some(reason)),
                Poll::Pending => break,
            }
        }
        (frames, None)
    }

    /// Answers what has ended, and what has ended meanwhile, while there is room for replies.
    pub(super) async fn work_ended(&mut self, ended: EndedWork<'b>) {
        let mut next = Some(ended);
        while let Some(ended) = next {
            match ended {
                EndedWork::Batch(batch, progress) => self.batch_performed(batch, progress).await,
                EndedWork::Request(ended) => self.request_ended(ended),
            }
            next = match self.outgoing.has_room() {
                true => self.work.next_ended(),
                false => None,
            };
        }
    }

    /// Answers the requests of a performed batch, except those that wait or continue.
    async fn batch_performed(&mut self, batch: RequestBatch, progress: Vec<Progress<'b>>) {
        let began = Instant::now();
        let mut progress = progress.into_iter();
        for ticket in batch.tickets {
            match progress.next() {
                Some(Progress::Done(result)) => {
                    self.performed(ticket);
                    self.reply(ticket, result);
                }
                Some(Progress::Continuing { future, .. }) => {
                    self.continue_performing(ticket, future);
                }
                Some(Progress::Waiting {
                    position, future, ..
                }) => {
                    self.performed(ticket);
                    let mut ticket = ticket;
                    ticket.started = None;
                    let (handle, mut wait) = WaitingRequest::new(ticket, future);
                    let handle = OngoingHandle::Wait(handle);
                    if !self.in_flight.set_ongoing(ticket, handle) {
                        continue;
                    }
                    if let Some(last_id) = position {
                        let id = ticket.id;
                        self.outgoing.push(&ServerMessage::Position { id, last_id });
                    }
                    match poll_once(|cx| wait.poll_unpin(cx)).await {
                        Poll::Ready((ticket, result)) => {
                            self.request_ended(EndedRequest::of_wait(ticket, result.ok()));
                        }
                        Poll::Pending => self.work.add_wait(wait),
                    }
                }
                None => {
                    self.performed(ticket);
                    let why = "the backend returned fewer results than operations";
                    self.reply(ticket, Err(CacheError::InternalError(why.to_owned())));
                }
            }
        }
        turn::pass_time(began.elapsed()).await;
    }

    /// Keeps a request that takes further round trips among those being performed, with its bytes.
    pub(super) fn continue_performing(
        &mut self,
        ticket: RequestTicket,
        future: BoxFuture<'b, CacheResult<Reply>>,
    ) {
        let (handle, continuing) = WaitingRequest::new(ticket, future);
        let handle = OngoingHandle::Continuing(handle);
        if self.in_flight.set_ongoing(ticket, handle) {
            self.work.add_continuing(continuing);
        } else {
            self.performed(ticket);
        }
    }

    /// Takes a request off those being performed.
    fn performed(&mut self, ticket: RequestTicket) {
        self.memory.request_performed(ticket.reserved);
        self.work.performed(ticket);
    }

    /// Answers a request whose wait or last round trip has ended, unless it was cancelled.
    pub(super) fn request_ended(&mut self, ended: EndedRequest) {
        if ended.was_performing {
            self.performed(ended.ticket);
        }
        if let Some(result) = ended.result {
            self.reply(ended.ticket, result);
        }
    }

    /// Answers a request, unless it was cancelled.
    pub(super) fn reply(&mut self, ticket: RequestTicket, result: CacheResult<Reply>) {
        if tracing::enabled!(Level::DEBUG) {
            let code = result.as_ref().err().map_or("ok", CacheError::code);
            self.in_flight.trace_reply(ticket, code);
        }
        if self.in_flight.complete(ticket) {
            let error = result.as_ref().err().map(CacheError::kind);
            self.recorder.replied(ticket, error);
            self.outgoing.reply(ticket.id, result, ticket.is_delivery);
        }
    }

    /// Returns whether the session may read more frames.
    ///
    /// For the client, a request is no longer in flight once it cancels it. While the backend still
    /// performs it, it counts here.
    pub(super) fn may_read(&self) -> bool {
        // To join what has arrived takes no more memory than to keep it.
        let may_grow = self.memory.may_grow() || self.socket.is_joining();
        self.has_room_to_read() && may_grow && self.read_after.is_none()
    }

    /// As [`may_read`](Self::may_read), however much memory the server has.
    pub(super) fn has_room_to_read(&self) -> bool {
        let max_requests = 2 * self.config.max_in_flight as usize;
        let expected_bytes = self.subscriptions.pending_replies() * READ_REPLY_BYTES;
        !self.awaits_keys()
            && self.outgoing.has_room()
            && self.work.bytes() + expected_bytes < MAX_PERFORMING_BYTES
            && self.work.requests() < max_requests
            && self.work.has_room()
            && self.subscriptions.len() < max_requests
    }

    /// Charges the memory budget with what the session holds.
    pub(super) fn record_memory(&mut self) {
        let frames: usize = self.remaining_frames.iter().map(Bytes::len).sum();
        let max_reply = self.outgoing.bound().perform_options().max_reply_bytes;
        let unsent_by_tls = match self.socket.is_flushing() {
            true => self.config.max_unsent_tls_bytes(),
            false => 0,
        };
        // The allocator may keep the chunks of a message for a while after they are joined.
        let copies = if self.socket.is_joining() { 2 } else { 1 };
        self.memory.record(&HeldBytes {
            frames: frames + copies * self.socket.incoming_bytes(),
            waiting: self.in_flight.bytes_of_waits() + self.access.token_bytes(),
            subscriptions: self.subscriptions.held_bytes(),
            outgoing: self.outgoing.held_bytes() + self.socket.unsent_memory() + unsent_by_tls,
            buffers: self.socket.buffer_bytes(),
            continuing: self.work.active_continuing() * max_reply,
        });
    }

    /// Begins a subscription after the operations that came before it.
    async fn subscribe(&mut self, admitted: AdmittedSubscription<'_>) {
        let AdmittedSubscription {
            ticket,
            subscription,
            dead_letters,
            credit,
        } = admitted;
        let opened =
            self.subscriptions
                .open(ticket, self.backend, subscription, dead_letters, credit);
        match opened {
            Ok(subscription) => {
                poll_fn(|cx| {
                    subscription.begin(cx);
                    Poll::Ready(())
                })
                .await;
                let handle = OngoingHandle::Subscription(subscription);
                self.in_flight.set_ongoing(ticket, handle);
            }
            Err(error) => self.reply(ticket, Err(error)),
        }
    }
}
