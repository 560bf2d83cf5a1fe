//! The future of one request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use streamgate_protocol::{CacheError, CacheResult, Operation, Reply};
use tokio::sync::oneshot;

use super::cancel_guard::CancelGuard;
use super::driver_handle::DriverHandle;
use crate::command::Command;
use crate::engine::NewRequest;

/// Sends the request in its first poll, and waits for its reply.
///
/// Written by hand: an `async` function holds its arguments in several places, and a busy client
/// has one future for each operation.
pub(super) struct ResponseFuture<'a> {
    driver: &'a DriverHandle,
    stage: ResponseStage<'a>,
}

enum ResponseStage<'a> {
    Unsent(CacheResult<NewRequest>),
    Sent(SentRequest<'a>),
    Finished,
}

struct SentRequest<'a> {
    reply: oneshot::Receiver<CacheResult<Reply>>,
    is_read_only: bool,
    cancel_guard: CancelGuard<&'a DriverHandle>,
}

impl<'a> ResponseFuture<'a> {
    pub(super) fn new(driver: &'a DriverHandle, operation: Operation<'static>) -> Self {
        let valid = operation.validate();
        let stage = ResponseStage::Unsent(valid.map(|()| operation.into()));
        Self { driver, stage }
    }
}

impl Future for ResponseFuture<'_> {
    type Output = CacheResult<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.stage, ResponseStage::Unsent(_))
            && let ResponseStage::Unsent(request) =
                std::mem::replace(&mut this.stage, ResponseStage::Finished)
        {
            this.stage = ResponseStage::Sent(send(this.driver, request?)?);
        }
        // Nobody polls it after its end.
        let ResponseStage::Sent(sent) = &mut this.stage else {
            return Poll::Pending;
        };
        let result = ready!(Pin::new(&mut sent.reply).poll(cx));
        sent.cancel_guard.disarm();
        // Without a result the driver was dropped, as with its runtime.
        let dropped = |_| {
            Err(CacheError::lost(
                sent.is_read_only,
                "the driver was dropped",
            ))
        };
        let result = result.unwrap_or_else(dropped);
        this.stage = ResponseStage::Finished;
        Poll::Ready(result)
    }
}

fn send(driver: &DriverHandle, request: NewRequest) -> CacheResult<SentRequest<'_>> {
    let permit = driver.permits.acquire()?;
    let id = driver.new_id();
    let is_read_only = request.is_read_only();
    let (sender, reply) = oneshot::channel();
    driver.send(Command::Request {
        id,
        request,
        reply: sender,
        permit,
    })?;
    Ok(SentRequest {
        reply,
        is_read_only,
        cancel_guard: CancelGuard::new(driver, id),
    })
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};
    use streamgate_protocol::limits::MAX_NAME_BYTES;
    use streamgate_protocol::{StreamingBackend as _, SubscribingBackend as _, TailFrom};
    use tokio::sync::{mpsc, watch};

    use crate::Client;
    use crate::engine::ConnectionState;

    #[test]
    fn invalid_requests_and_subscriptions_fail_without_being_sent() {
        let (commands, driver) = mpsc::unbounded_channel();
        let (_state, states) = watch::channel(ConnectionState::Open);
        let client = Client::new(commands, states);
        let added = client.stream_add("s", vec![], None).now_or_never().unwrap();
        assert_eq!(added.unwrap_err().code(), "ERR");
        let stream = "s".repeat(MAX_NAME_BYTES + 1);
        let mut tail = client.tail(&stream, TailFrom::Now);
        let item = tail.next().now_or_never().unwrap().unwrap();
        assert_eq!(item.unwrap_err().code(), "LIMIT");
        assert_eq!(driver.len(), 0);
    }
}
