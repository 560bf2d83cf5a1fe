//! The engine's time.

/// Milliseconds on one clock that never goes back. Where the clock starts does not matter.
pub type Millis = u64;
