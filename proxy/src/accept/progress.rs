//! How far a connection has come towards its socket or its response.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::refusal::Refusal;

/// The progress of one connection.
#[derive(Debug, Default)]
pub(super) struct Progress {
    has_request: AtomicBool,
    bytes_written: AtomicU64,
}

impl Progress {
    /// Records that the whole head of the request has arrived.
    pub(super) fn request_arrived(&self) {
        self.has_request.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_request(&self) -> bool {
        self.has_request.load(Ordering::Relaxed)
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.bytes_written
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns when the connection is overdue: no request by the deadline, or after that a response
    /// of which the peer takes nothing for `write_timeout`.
    pub(super) async fn overdue(&self, deadline: Instant, write_timeout: Duration) -> Refusal {
        tokio::time::sleep_until(deadline).await;
        if !self.has_request() {
            return Refusal::HandshakeTimeout;
        }
        loop {
            let before = self.bytes_written.load(Ordering::Relaxed);
            tokio::time::sleep(write_timeout).await;
            if self.bytes_written.load(Ordering::Relaxed) == before {
                return Refusal::ResponseTimeout;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_request_has_a_deadline_and_a_response_must_go_on() {
        let progress = Progress::default();
        let deadline = Instant::now() + SECOND;
        let overdue = progress.overdue(deadline, SECOND).await;
        assert_eq!(overdue, Refusal::HandshakeTimeout);
        assert_eq!(Instant::now(), deadline);

        progress.request_arrived();
        let mut overdue = Box::pin(progress.overdue(deadline, SECOND));
        for _ in 0..10 {
            assert!((&mut overdue).now_or_never().is_none());
            progress.wrote(1);
            tokio::time::advance(SECOND).await;
        }
        assert!((&mut overdue).now_or_never().is_none());
        assert_eq!(overdue.await, Refusal::ResponseTimeout);
    }
}
