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
//! With the feature `npm` this crate is the module inside the npm package `streamgate`: see `npm`.

mod client_id;
mod clock;
mod connect;
mod connector;
#[cfg(feature = "npm")]
pub mod npm;
mod socket;
mod url;

pub use connect::{connect, connect_with};
pub use connector::WebSocketConnector;
pub use streamgate_client::{
    ByteString, Bytes, CacheError, CacheResult, Claimed, Client, ClientConfig, ConnectionState,
    ConsumeOptions, Deliveries, Entry, EntryOperations, Gap, PendingEntries, PendingEntry,
    PendingQuery, PendingSummary, ReadBatch, Retry, StreamEntry, StreamingBackend,
    SubscribingBackend, Tail, TailFrom, TailItem, TokenRequest,
};

#[cfg(all(feature = "npm", target_arch = "wasm32"))]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
