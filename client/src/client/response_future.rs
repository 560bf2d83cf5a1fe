//! One call, from a handle's side.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use streamgate_protocol::{CacheError, CacheResult, Operation, Reply};
use tokio::sync::oneshot;

use super::DriverHandle;
use super::cancel_guard::{CancelGuard, Slot};
use crate::driver::Command;
use crate::engine::NewRequest;

/// Sends the call in its first poll, and waits for its answer.
///
/// Written by hand, since an `async` function holds what it is given in several places, and there is a
/// call for each operation of a busy client.
pub(crate) struct Call<'a> {
    shared: &'a DriverHandle,
    state: State<'a>,
}

enum State<'a> {
    New(NewRequest),
    Sent(Sent<'a>),
    Over,
}

struct Sent<'a> {
    result: oneshot::Receiver<CacheResult<Reply>>,
    read_only: bool,
    cancel: CancelGuard<&'a DriverHandle>,
    _slot: Slot<&'a DriverHandle>,
}

impl<'a> Call<'a> {
    pub(super) fn new(shared: &'a DriverHandle, operation: Operation<'static>) -> Self {
        let state = State::New(operation.into());
        Self { shared, state }
    }
}

impl Future for Call<'_> {
    type Output = CacheResult<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.state, State::New(_))
            && let State::New(call) = std::mem::replace(&mut this.state, State::Over)
        {
            this.state = State::Sent(send(this.shared, call)?);
        }
        // Otherwise it was polled after its end, which no caller does.
        let State::Sent(sent) = &mut this.state else {
            return Poll::Pending;
        };
        let result = ready!(Pin::new(&mut sent.result).poll(cx));
        sent.cancel.disarm();
        // Without a result the driver was dropped, as with its runtime.
        let gone = |_| Err(CacheError::lost(sent.read_only, "the driver is gone"));
        let result = result.unwrap_or_else(gone);
        this.state = State::Over;
        Poll::Ready(result)
    }
}

fn send<'a>(shared: &'a DriverHandle, call: NewRequest) -> CacheResult<Sent<'a>> {
    let slot = Slot::take(shared)?;
    let id = shared.new_id();
    let read_only = call.is_read_only();
    let (answer, result) = oneshot::channel();
    shared.send(Command::Call { id, call, answer })?;
    Ok(Sent {
        result,
        read_only,
        cancel: CancelGuard::new(shared, id),
        _slot: slot,
    })
}
