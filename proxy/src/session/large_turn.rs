//! The wait of a large batch for its turn.

use std::pin::pin;

use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use crate::session::Session;
use crate::session::batch::RequestBatch;
use crate::session::dispatch::AdmittedSubscription;
use crate::session::fairness::ReadOrPush;
use crate::socket::{CloseReason, SocketProgress};

/// How the wait of a large batch ends.
pub(super) enum LargeTurn {
    /// It begins, and holds this until the backend has answered it.
    Begins(Option<OwnedSemaphorePermit>),
    /// The rights of its client have changed since it was checked, so it must not begin.
    RightsChanged,
    /// The session has to close, so it must not begin. What was begun before is still answered.
    Leaves,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Waits until a batch that moves this number of bytes may begin. Meanwhile the session does
    /// everything else, except that it reads nothing: what its client sent later comes later.
    ///
    /// # Errors
    ///
    /// The session has to close at once.
    pub(super) async fn large_turn(&mut self, bytes: usize) -> Result<LargeTurn, CloseReason> {
        let mut permit = pin!(self.large_requests.permit(bytes));
        // By which the batch was checked. Most changes of the policy, the keys or the revoked tokens
        // leave them as they are.
        let rights = self.access.rights().clone();
        loop {
            self.send().await?;
            self.record_memory();
            self.leave_former_tenants();
            self.pause_silence_unless(false);
            self.leaves = self.leaves.take().or_else(|| self.access.ended());
            if self.leaves.is_some() {
                return Ok(LargeTurn::Leaves);
            }
            if *self.access.rights() != rights {
                return Ok(LargeTurn::RightsChanged);
            }
            if self.liveness_deadline() < self.control.deadline() {
                self.control.set_timer(self.liveness_deadline());
            }
            let room = self.outgoing.has_room();
            let may_push = room && self.memory.may_grow();
            tokio::select! {
                biased;
                event = self.control.next(room) => self.take_event(event).await?,
                permit = permit.as_mut() => return Ok(LargeTurn::Begins(permit)),
                Some(ended) = self.work.next(), if room => self.work_ended(ended).await,
                next = self
                    .fairness
                    .next(&mut self.socket, &mut self.subscriptions, false, may_push) => match next
                {
                    ReadOrPush::Read(SocketProgress::Closed(reason)) => return Err(reason),
                    ReadOrPush::Read(_) => {}
                    ReadOrPush::Push(item) => self.push_ready(item).await,
                },
                () = tokio::task::coop::consume_budget(), if self.control.has_fired() => {
                    self.check_liveness()?;
                    self.control.set_timer(self.liveness_deadline());
                }
            }
        }
    }

    /// Refuses what must not begin.
    pub(super) fn refuse_unbegun(
        &mut self,
        batch: RequestBatch,
        subscription: Option<AdmittedSubscription<'_>>,
    ) {
        let why = "the client's rights changed while the request waited; it was not performed; \
                   send it again";
        let refused = || CacheError::backend(code::OVERLOADED, why);
        for ticket in batch.tickets {
            self.memory.request_performed(ticket.reserved);
            self.reply(ticket, Err(refused()));
        }
        if let Some(subscription) = subscription {
            self.reply(subscription.ticket, Err(refused()));
        }
    }
}
