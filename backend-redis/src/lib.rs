//! Redis Streams on Redis itself, on one connection, however many readers wait.
//!
//! [`RedisStreams`] implements [`StreamingBackend`](streamgate_protocol::StreamingBackend),
//! [`SubscribingBackend`](streamgate_protocol::SubscribingBackend) and
//! [`PendingEntries`](streamgate_protocol::PendingEntries) for use in process, and
//! [`Backend`](streamgate_backend::Backend), so that the server of the crate `streamgate` can
//! serve it to browsers, edge workers and other clients.
//!
//! With the feature `multi-tier-cache` it also implements the `StreamingBackend` of that crate, so
//! that `CacheSystemBuilder::with_streams(Arc::new(streams))` takes it.

mod builder;
mod connection;
mod hub;
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "multi-tier-cache")]
mod multi_tier_cache;
mod operation;
mod redis_streams;
mod subscribe;
mod tail;
mod wire;

pub use builder::RedisStreamsBuilder;
pub use connection::command_connection::PING_EVERY;
pub use connection::endpoint::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};
pub use connection::hash_reader::HashReader;
pub use connection::url::without_secrets;
pub use redis_streams::RedisStreams;
