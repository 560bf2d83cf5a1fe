//! Operations, from their commands to their results.
//!
//! A batch of operations becomes one pipeline (`batch`, `encode`). Each answer becomes a reply, a
//! wait in the hub, or further round trips (`expected_answer`, `blocking_read`, `remove_consumer`).

pub(crate) mod batch;
mod blocking_read;
mod encode;
mod expected_answer;
pub(crate) mod idempotent_add;
pub(crate) mod outcome;
mod read_pending;
mod remove_consumer;
