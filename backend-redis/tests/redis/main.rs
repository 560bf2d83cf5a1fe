//! `RedisStreams` on real Redis servers: what conformance cases cannot see. Counts of connections
//! and commands, faults, access lists, the tracking table, and load.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the fixture is part of the tests: a panic is how they fail"
)]

mod bytes;
mod connect;
mod connection_loss;
mod counters;
mod dedup_window;
mod degraded;
mod fixture;
mod gaps;
mod groups;
mod hash_reader;
mod idempotent_add;
mod least_access;
mod load;
mod operations;
mod output_limit;
mod paged_reads;
mod pending;
mod sentinel;
mod slow_tails;
mod tail_load;
mod tails;
mod tls;
mod tracking_table;
mod unavailable;
mod unix_socket;
mod untracked;
mod waits;
