//! The bound on requests and subscriptions that are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};

/// The requests and subscriptions of one client, over all its handles, that may be under way at
/// once. It bounds the channel to the driver. Further ones fail with `OVERLOADED` rather than wait:
/// waiting callers would not keep the order in which they came.
const MAX_IN_PROGRESS: usize = 128 * 1024;

/// Counts the requests and subscriptions that are under way.
#[derive(Debug, Default)]
pub(super) struct Permits(Arc<AtomicUsize>);

/// One of the [`MAX_IN_PROGRESS`]. It travels to the driver with its command, and lives until the
/// driver has ended or cancelled the request. So a caller that drops futures faster than the driver
/// runs is refused too.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Permits {
    /// Takes a permit.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` if there is none left.
    pub(super) fn acquire(&self) -> CacheResult<Permit> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(&self.0));
        if before < MAX_IN_PROGRESS {
            Ok(permit)
        } else {
            let why = "too many requests are under way; wait for some of them to end";
            Err(CacheError::backend(code::OVERLOADED, why))
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};
    use streamgate_protocol::{StreamingBackend as _, SubscribingBackend as _, TailFrom};
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::Client;
    use crate::command::Command;
    use crate::engine::ConnectionState;

    #[test]
    fn requests_beyond_the_bound_are_refused_until_one_is_over() {
        let permits = Permits::default();
        let mut taken: Vec<_> = (0..MAX_IN_PROGRESS)
            .map(|_| permits.acquire().unwrap())
            .collect();
        assert_eq!(permits.acquire().unwrap_err().code(), "OVERLOADED");
        taken.pop();
        taken.push(permits.acquire().unwrap());
        assert_eq!(permits.acquire().unwrap_err().code(), "OVERLOADED");
        taken.clear();
        assert_eq!(permits.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn dropped_futures_hold_their_places_until_the_driver_has_cancelled_them() {
        let (commands, mut driver) = mpsc::unbounded_channel();
        let (_state, states) = watch::channel(ConnectionState::Open);
        let client = Client::new(commands, states);
        let add = || {
            let fields = vec![("f".to_owned(), "v".to_owned())];
            client.stream_add("s", fields, None).now_or_never()
        };
        for _ in 1..MAX_IN_PROGRESS {
            assert!(add().is_none());
        }
        drop(client.tail("s", TailFrom::Now));
        assert!(
            client
                .tail("s", TailFrom::Now)
                .next()
                .now_or_never()
                .is_none()
        );
        assert_eq!(add().unwrap().unwrap_err().code(), "OVERLOADED");
        // A command for each request, and one for its cancel.
        assert_eq!(driver.len(), 2 * MAX_IN_PROGRESS);
        let first = driver.try_recv().unwrap();
        assert!(matches!(first, Command::Request { .. }));
        assert_eq!(add().unwrap().unwrap_err().code(), "OVERLOADED");
        drop(first);
        assert!(add().is_none());
    }

    #[test]
    fn signals_that_the_driver_has_not_taken_are_sent_once() {
        let (commands, driver) = mpsc::unbounded_channel();
        let (_state, states) = watch::channel(ConnectionState::Open);
        let client = Client::new(commands, states);
        for _ in 0..3 {
            client.network_changed();
            assert!(client.close().now_or_never().is_none());
            client.abort();
        }
        assert_eq!(driver.len(), 3);
    }
}
