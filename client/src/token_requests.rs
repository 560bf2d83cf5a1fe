//! The owner's source of tokens, and the call of it that is not answered yet.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use streamgate_protocol::CacheResult;
use streamgate_protocol::error::code;

use crate::engine::TokenError;

/// Why a client needs a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The token before this one was refused, or is about to end: return another one, not one from
    /// a cache.
    pub force: bool,
}

/// A call of the source at a time.
#[derive(Debug)]
pub struct TokenRequests<F>(Option<Pin<Box<F>>>);

impl<F> Default for TokenRequests<F> {
    fn default() -> Self {
        Self(None)
    }
}

impl TokenRequest {
    /// Builds a request.
    pub const fn new(force: bool) -> Self {
        Self { force }
    }
}

impl<F: Future<Output = CacheResult<String>>> TokenRequests<F> {
    /// Awaits this call, and drops the one before it.
    pub fn begin(&mut self, call: F) {
        self.0 = Some(Box::pin(call));
    }

    /// Returns the answer to the call.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, TokenError>> {
        let Some(call) = &mut self.0 else {
            return Poll::Pending;
        };
        let answer = ready!(call.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(answer.map_err(|error| {
            let text = error.to_string();
            if error.code() == code::NOAUTH {
                TokenError::SignedOut(text)
            } else {
                TokenError::Later(text)
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_util::FutureExt as _;
    use futures_util::future::{self, BoxFuture};

    use super::*;

    #[test]
    fn a_call_that_was_given_up_counts_for_nothing() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut requests: TokenRequests<BoxFuture<'static, CacheResult<String>>> =
            TokenRequests::default();
        requests.begin(future::ready(Ok("first".to_owned())).boxed());
        requests.begin(future::pending().boxed());
        assert_eq!(requests.poll(&mut cx), Poll::Pending);
        requests.begin(future::ready(Ok("third".to_owned())).boxed());
        assert_eq!(requests.poll(&mut cx), Poll::Ready(Ok("third".to_owned())));
        assert_eq!(requests.poll(&mut cx), Poll::Pending);
    }
}
