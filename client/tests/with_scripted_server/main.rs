//! The client against a scripted server, behind a socket without a network.

mod connection;
#[cfg(feature = "multi-tier-cache")]
mod multi_tier_cache;
// Marked, so that it may unwrap as tests do.
#[cfg(test)]
mod scripted_server;
mod subscriptions;
