//! How long to wait before what the server could not do is asked for again.

use super::Millis;

/// The first pause. A server whose backend comes back is asked again soon, and one whose
/// connection was only cut has another by then.
const FIRST_MS: Millis = 50;

/// The longest: what waits goes on within a second after the backend is back.
const LONGEST_MS: Millis = 1_000;

/// The pause after one that was in vain, of which the first is 0: twice as long, up to the longest.
pub(super) fn after(pause_ms: Millis) -> Millis {
    (pause_ms * 2).clamp(FIRST_MS, LONGEST_MS)
}
