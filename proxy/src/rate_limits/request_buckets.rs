//! The rates of requests: how many, and how many bytes.

use std::time::Duration;

use tokio::time::Instant;

use super::{Rate, TokenBucket};

/// What a rate of requests counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Requests,
    Bytes,
}

/// How often requests may come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestRates {
    pub(super) requests: Rate,
    pub(super) bytes: Rate,
}

/// How much of the rates of requests is used.
#[derive(Debug, Default)]
pub(crate) struct RequestBuckets {
    requests: TokenBucket,
    bytes: TokenBucket,
}

impl RequestBuckets {
    /// Takes a request of this size, as [`TokenBucket::borrow`] does.
    ///
    /// # Errors
    ///
    /// The rate that is used up, and the time after which it is left.
    pub(crate) fn take(
        &mut self,
        bytes: usize,
        rates: RequestRates,
        patience: Duration,
        now: Instant,
    ) -> Result<Duration, (Measure, Duration)> {
        let requests = &mut self.requests;
        let for_requests = requests
            .borrow(1, rates.requests, patience, now)
            .map_err(|wait| (Measure::Requests, wait))?;
        let for_bytes = self
            .bytes
            .borrow(bytes as u64, rates.bytes, patience, now)
            .map_err(|wait| (Measure::Bytes, wait))?;
        Ok(for_requests.max(for_bytes))
    }

    /// Returns whether nothing is used.
    pub(crate) fn are_full(&mut self, rates: RequestRates, now: Instant) -> bool {
        self.requests.is_full(rates.requests, now) && self.bytes.is_full(rates.bytes, now)
    }
}
