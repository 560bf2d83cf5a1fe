//! Redis Streams in this process's memory.
//!
//! [`MemoryStreams`] implements [`StreamingBackend`](streamgate_protocol::StreamingBackend),
//! [`PendingEntries`](streamgate_protocol::PendingEntries),
//! [`SubscribingBackend`](streamgate_protocol::SubscribingBackend) and
//! [`Backend`](streamgate_backend::Backend), so it serves in process and behind the server.
//!
//! ```
//! use streamgate_memory::MemoryStreams;
//! use streamgate_protocol::{CacheError, StreamingBackend};
//!
//! # futures_util::FutureExt::now_or_never(async {
//! let streams = MemoryStreams::new();
//! let fields = vec![("item".to_owned(), "tea".to_owned())];
//! let id = streams.stream_add("orders", fields.clone(), None).await?;
//! assert_eq!(streams.stream_read_latest("orders", 1).await?, [(id, fields)]);
//! # Ok::<_, CacheError>(())
//! # }).unwrap().unwrap();
//! ```

mod answer;
mod batch;
mod budget;
mod builder;
mod clock;
mod dedup_window;
mod entry;
mod errors;
mod group;
mod memory_streams;
mod shared_store;
mod store;
mod stream;
mod tail;
mod tail_registry;
#[cfg(test)]
mod tests;
mod waiter;
mod waiting_call;

pub use budget::{DEFAULT_CAPACITY_BYTES, DEFAULT_PENDING_BYTES, DEFAULT_WAITING_BYTES};
pub use builder::MemoryStreamsBuilder;
pub use memory_streams::MemoryStreams;
