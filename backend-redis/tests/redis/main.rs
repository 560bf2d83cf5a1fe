//! `RedisStreams` on real Redis servers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the fixture is part of the tests: a panic is how they fail"
)]

mod away;
mod faults;
mod fixture;
mod gaps;
mod groups;
mod load;
mod once;
mod operations;
mod pending;
mod slow_followers;
mod tail_load;
mod tails;
mod tracking_table;
mod untracked;
mod waits;
