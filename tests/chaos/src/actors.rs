//! Those who use the streams while everything fails, and write down what they see.

pub(crate) mod consumer;
pub(crate) mod tail;
pub(crate) mod watcher;
pub(crate) mod writer;
