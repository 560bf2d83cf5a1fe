//! Half-open connections, end to end: a client's socket ends, and its server does not notice.
//!
//! All entries reach the client, none twice, and each counts as delivered once.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod deliveries;
mod deployment;
mod other_server;
mod receiver;
mod same_server;
