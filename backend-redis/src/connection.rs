//! Connections to Redis: one for commands, on which Redis also pushes which stream has changed, one
//! for pages of backlogs, and one for each reader of a hash.

pub(crate) mod availability;
pub(crate) mod command_connection;
pub(crate) mod endpoint;
pub(crate) mod hash_reader;
pub(crate) mod host_port;
pub(crate) mod invalidations;
pub(crate) mod page_connection;
pub(crate) mod reconnect_pause;
pub(crate) mod resp;
mod sentinels;
pub(crate) mod tls;
pub(crate) mod url;
