//! Operations that take more than one command each.

pub(crate) mod batch;
pub(crate) mod idempotent_add;
pub(crate) mod remove_consumer;
