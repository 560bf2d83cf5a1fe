//! A consumer's read of its group: the backend performs it, and then it may wait for an entry.

use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_backend::{Backend, CancelOnDrop, Cancellation, PerformOptions, Progress};
use streamgate_protocol::{CacheError, CacheResult, Entry, Operation, Reply};

use crate::session::backpressure::PendingReplyGuard;

/// A read of a group under way. Dropping it leaves the group's queue.
pub(super) struct GroupReading<'b> {
    step: ReadStep<'b>,
    /// Its end tells the backend that nobody waits.
    still_wanted: Option<CancelOnDrop>,
}

enum ReadStep<'b> {
    Performing {
        performing: BoxFuture<'b, Vec<Progress<'b>>>,
        _pending_reply: PendingReplyGuard,
    },
    /// The read has its reply, or waits in the group's queue. The backend loads nothing for it.
    Finishing(BoxFuture<'b, CacheResult<Reply>>),
}

impl<'b> GroupReading<'b> {
    pub(super) fn start(
        backend: &'b dyn Backend,
        operation: Operation<'b>,
        options: PerformOptions,
        pending_reply: PendingReplyGuard,
    ) -> Self {
        let (still_wanted, cancellation) = Cancellation::new();
        let options = options.cancellations(vec![(0, cancellation)]);
        Self {
            step: ReadStep::Performing {
                performing: backend.perform(vec![operation], options),
                _pending_reply: pending_reply,
            },
            still_wanted: Some(still_wanted),
        }
    }

    /// Polls for the entries.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CacheResult<Vec<Entry>>> {
        loop {
            match &mut self.step {
                ReadStep::Performing { performing, .. } => {
                    let mut progress = ready!(performing.poll_unpin(cx));
                    let Some(progress) = progress.pop() else {
                        let why = "the backend returned no result for a group read";
                        return Poll::Ready(Err(CacheError::InternalError(why.to_owned())));
                    };
                    self.step = ReadStep::Finishing(progress.finish().boxed());
                }
                ReadStep::Finishing(finishing) => {
                    let reply = ready!(finishing.poll_unpin(cx));
                    return Poll::Ready(reply.and_then(Reply::into_entries));
                }
            }
        }
    }

    /// Tells the backend that nobody waits. Returns whether it owes a reply.
    pub(super) fn stop(&mut self) -> bool {
        self.still_wanted = None;
        matches!(self.step, ReadStep::Performing { .. })
    }

    /// Polls for the reply of a read that was stopped while it was performed, and drops it.
    pub(super) fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.step {
            ReadStep::Performing { performing, .. } => performing.poll_unpin(cx).map(drop),
            ReadStep::Finishing(_) => Poll::Ready(()),
        }
    }
}
