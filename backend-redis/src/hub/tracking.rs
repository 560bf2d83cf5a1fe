//! How Redis reports changed keys.

pub(crate) mod fallback;
pub(crate) mod invalidations;
pub(crate) mod link;
pub(crate) mod throttle;
