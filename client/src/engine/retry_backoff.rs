//! How long to pause before a request is sent again that the server could not perform.

use streamgate_protocol::backoff::Backoff;
use streamgate_protocol::limits::{FIRST_RETRY_PAUSE_MS, MAX_RETRY_PAUSE_MS};

use super::jitter::Jitter;

/// Returns a backoff that starts with the first pause.
pub(super) const fn new() -> Backoff {
    Backoff::new(FIRST_RETRY_PAUSE_MS, MAX_RETRY_PAUSE_MS)
}

/// Returns the next pause: between half of the backoff's and all of it, so that requests that failed
/// together are spread.
pub(super) const fn next_pause_ms(backoff: &mut Backoff, jitter: &mut Jitter) -> u64 {
    let longest = backoff.next_pause_ms();
    longest - jitter.up_to(longest / 2)
}
