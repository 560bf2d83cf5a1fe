//! Operations, from their commands to their results.
//!
//! A batch of operations becomes one pipeline (`batch`, `encode`). Each answer becomes a reply, a
//! wait in the hub, or further round trips (`expected_answer`, `blocking_read`, `paged_read`,
//! `remove_consumer`).

pub(crate) mod batch;
mod blocking_read;
pub(crate) mod bulk_reader;
pub(crate) mod encode;
pub(crate) mod entry_sizes;
pub(crate) mod expected_answer;
pub(crate) mod idempotent_add;
mod list_idle;
pub(crate) mod outcome;
mod paged_read;
mod read_pending;
mod remove_consumer;
