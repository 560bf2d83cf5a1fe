//! The server as a raw WebSocket client sees it, well-behaved or not, in both encodings.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod availability;
mod backend;
mod client;
mod close;
mod follower;
mod frames;
mod fuzz;
mod handshake;
mod limits;
mod page;
mod requests;
mod service;
mod subscriptions;
