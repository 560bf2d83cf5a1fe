//! The clock that ids and deliveries take their time from.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the time in ms since 1970, or 0 if the clock is set before that: ids still grow then.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
