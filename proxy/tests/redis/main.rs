//! `RedisStreams` on real Redis servers.

mod faults;
mod fixture;
mod groups;
mod load;
mod operations;
mod waits;
