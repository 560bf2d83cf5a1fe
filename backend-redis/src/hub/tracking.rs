//! How Redis reports changed keys.

pub(crate) mod fallback;
pub(crate) mod hub_connection;
pub(crate) mod invalidations;
pub(crate) mod throttle;
