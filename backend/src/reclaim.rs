//! Reclaiming the pending entries of crashed consumers.
//!
//! A consumer reclaims by steps of its own instead of by
//! [`claim`](streamgate_protocol::PendingEntries::claim), for two reasons. A claim may take an
//! entry that the same consumer is still working on. And a claim cannot add an entry to the
//! dead-letter stream and acknowledge it atomically.

pub mod dead_letter;
pub mod schedule;
pub mod step;
