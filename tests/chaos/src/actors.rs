//! The actors: they use the streams during faults, and record what they see in journals.

pub(crate) mod consumer;
pub(crate) mod foreign_writer;
pub(crate) mod pending_observer;
pub(crate) mod tail;
pub(crate) mod writer;
