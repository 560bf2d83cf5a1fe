//! How the hub learns which streams have changed.
//!
//! Redis pushes invalidations ([`crate::connection::invalidations`]); those of streams that somebody
//! may be about to wait for are remembered for a while ([`recent_invalidations`]). If Redis refuses
//! `CLIENT TRACKING`, the streams are polled ([`polling`]). Groups are [rechecked](rechecks). Spurious
//! invalidations are [throttled](throttle).

pub(super) mod polling;
pub(super) mod recent_invalidations;
pub(super) mod rechecks;
pub(super) mod throttle;
