//! What goes over a connection to Redis: commands, scripts, answers and errors.

pub(crate) mod answers;
pub(crate) mod commands;
pub(crate) mod errors;
pub(crate) mod hash_tag;
pub(crate) mod packing;
pub(crate) mod scripts;
pub(crate) mod sentinel;
