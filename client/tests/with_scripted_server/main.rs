//! The client against a scripted server, behind a socket without a network.

// Marked, so that they may unwrap as tests do.
#[cfg(test)]
mod connection;
#[cfg(feature = "multi-tier-cache")]
#[cfg(test)]
mod multi_tier_cache;
#[cfg(test)]
mod scripted_server;
#[cfg(test)]
mod subscriptions;
