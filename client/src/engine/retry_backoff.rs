//! How long to pause before a request is sent again that the server could not perform.

use streamgate_protocol::backoff::Backoff;

/// The first pause. If the server's backend comes back it is asked again soon, and if only a
/// connection of the server was cut, it has another one by then.
const FIRST_PAUSE_MS: u32 = 50;

/// The longest pause: waits continue within a second after the backend is back.
const MAX_PAUSE_MS: u32 = 1_000;

/// Returns a backoff that starts with the first pause.
pub(super) const fn new() -> Backoff {
    Backoff::new(FIRST_PAUSE_MS, MAX_PAUSE_MS)
}
