//! How the hub learns which streams have changed.
//!
//! Redis pushes invalidations on the hub's connection ([`hub_connection`], [`invalidations`]). If
//! Redis refuses `CLIENT TRACKING`, blocking reads replace them ([`fallback`]). Spurious
//! invalidations are [throttled](throttle).

pub(super) mod fallback;
pub(super) mod hub_connection;
mod invalidations;
pub(super) mod throttle;
