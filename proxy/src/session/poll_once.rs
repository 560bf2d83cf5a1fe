//! Polling once within an async function.

use std::future::poll_fn;
use std::task::{Context, Poll};

/// Polls once, with the waker of the calling task, and returns the result.
pub(super) async fn poll_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll_fn(|cx| Poll::Ready(poll(cx))).await
}
