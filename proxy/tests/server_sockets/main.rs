//! The server as a raw WebSocket client sees it, well-behaved or not, in both encodings.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod accept;
mod admin;
mod auth;
mod availability;
mod client;
mod close;
mod counting_backend;
mod frames;
mod fuzz;
mod handshake;
mod http;
mod jwks;
mod large_entries;
mod limits;
mod memory_budget;
mod origins;
mod rates;
mod requests;
mod rights_changes;
mod rights_table;
mod session_takeover;
mod stub_backend;
mod stub_tail;
mod subscriptions;
mod tenants;
mod test_server;
mod tls;
mod tokens;
mod trusted_proxies;
mod www;
