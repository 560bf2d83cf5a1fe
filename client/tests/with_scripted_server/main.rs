//! The client against a scripted server, behind a socket without a network.

// Marked, so that they may unwrap as tests do.
#[cfg(test)]
mod connection;
#[cfg(all(test, feature = "multi-tier-cache"))]
mod multi_tier_cache;
#[cfg(test)]
mod scripted_server;
#[cfg(test)]
mod subscriptions;
