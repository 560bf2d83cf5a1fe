//! Connections to Redis.

pub(crate) mod availability;
pub(crate) mod barrier;
pub(crate) mod command_connection;
pub(crate) mod endpoint;
pub(crate) mod reconnect_pause;
pub(crate) mod resp;
