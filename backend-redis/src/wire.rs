//! Commands, answers and errors of Redis.

pub(crate) mod answers;
pub(crate) mod commands;
pub(crate) mod errors;
pub(crate) mod packing;
pub(crate) mod scripts;
