//! Redis Streams over a WebSocket, for browsers and edge workers.
//!
//! For Rust applications that are compiled to wasm, [`connect`] returns the same [`Client`] as
//! native code uses, with the same `Send` futures:
//!
//! ```no_run
//! use streamgate_wasm::{StreamingBackend, connect};
//!
//! # async fn example() -> streamgate_wasm::CacheResult<()> {
//! let client = connect("wss://example.com/v1/ws").await?;
//! client.stream_add("orders", vec![("item".into(), "tea".into())], None).await?;
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `npm`, and without the default feature `application`, this crate is the module
//! inside the npm package `streamgate`: see `npm`.

#[cfg(feature = "application")]
mod client_id;
#[cfg(feature = "application")]
mod clock;
#[cfg(feature = "application")]
mod connect;
#[cfg(feature = "application")]
mod connector;
#[cfg(feature = "npm")]
pub mod npm;
#[cfg(feature = "application")]
mod socket;
#[cfg(feature = "application")]
mod url;

#[cfg(feature = "application")]
pub use connect::{connect, connect_with};
#[cfg(feature = "application")]
pub use connector::WebSocketConnector;
pub use streamgate_client::{
    ByteString, Bytes, CacheError, CacheResult, Claimed, Client, ClientConfig, ConnectionState,
    ConsumeOptions, Deliveries, Entry, EntryOperations, Gap, PendingEntries, PendingEntry,
    PendingQuery, PendingSummary, ReadBatch, Retry, StreamEntry, StreamingBackend,
    SubscribingBackend, Tail, TailFrom, TailItem, TokenRequest,
};

#[cfg(all(feature = "npm", target_arch = "wasm32"))]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();
