//! Connections to Redis: one for commands, one for pages, and what the hub shares with
//! them.

pub(crate) mod availability;
pub(crate) mod barrier;
pub(crate) mod command_connection;
pub(crate) mod endpoint;
pub(crate) mod page_connection;
pub(crate) mod reconnect_pause;
mod resp;
pub(crate) mod url;
