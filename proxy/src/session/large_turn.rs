//! The wait of a large batch for its turn.

use std::pin::pin;

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use crate::session::Session;
use crate::session::fairness::ReadOrPush;
use crate::socket::{CloseReason, SocketProgress};

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Waits until a batch that moves this number of bytes may begin. Meanwhile the session does
    /// everything else, except that it reads nothing: what its client sent later comes later.
    ///
    /// If the session has to close, the batch must not begin: this returns an error, or without a
    /// permit if what was begun before is still to be answered.
    pub(super) async fn large_turn(
        &mut self,
        bytes: usize,
    ) -> Result<Option<OwnedSemaphorePermit>, CloseReason> {
        let mut permit = pin!(self.large_requests.permit(bytes));
        while self.leaves.is_none() {
            self.send().await?;
            self.record_memory();
            let room = self.outgoing.has_room();
            let may_push = room && self.memory.may_grow();
            tokio::select! {
                biased;
                event = self.control.next(room) => self.take_event(event)?,
                permit = permit.as_mut() => return Ok(permit),
                Some((batch, progress)) = self.performing.next(),
                    if room && !self.performing.is_empty() =>
                {
                    self.batch_performed(batch, progress).await;
                }
                Some((ticket, result)) = self.continuing.next(),
                    if room && !self.continuing.is_empty() =>
                {
                    self.continued(ticket, result);
                }
                Some((ticket, result)) = self.waits.next(), if room && !self.waits.is_empty() => {
                    self.wait_ended(ticket, result.ok());
                }
                next = self
                    .fairness
                    .next(&mut self.socket, &mut self.subscriptions, false, may_push) => match next
                {
                    ReadOrPush::Read(SocketProgress::Closed(reason)) => return Err(reason),
                    ReadOrPush::Read(_) => {}
                    ReadOrPush::Push(item) => self.push_ready(item).await,
                },
            }
        }
        Ok(None)
    }
}
