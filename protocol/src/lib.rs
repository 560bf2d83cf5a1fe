//! The shared language of streamgate: what every backend can do, how it fails, and how the same
//! operations travel over a WebSocket.
//!
//! - [`traits`]: [`StreamingBackend`], the trait that every implementor keeps.
//! - [`subscribe`]: [`SubscribingBackend`], what pushes entries as they come.
//! - [`pending`]: [`PendingEntries`], the operations on pending entries.
//! - [`entry`]: [`Entry`], a stream entry with named parts.
//! - [`entry_id`]: [`EntryId`], the parser and the order of entry ids.
//! - [`perform_operation`]: [`PerformOperation`], backends that take operations as data.
//! - [`error`]: [`CacheError`] and the [table of error codes](error::CODES).
//! - [`message`]: every message of the protocol, once.
//! - [`codec`]: the two encodings of those messages, and frames of several messages.
//! - [`close`]: why a socket is closed, and whether to come back.
//! - [`limits`]: the bounds both sides keep.
//!
//! There is no I/O here, no clock and no runtime: the crate compiles for servers and browsers
//! alike. The normative text of the protocol is `SPEC.md` beside this crate.

pub mod backoff;
pub mod close;
pub mod codec;
pub mod entry;
pub mod entry_id;
pub mod error;
pub mod limits;
pub mod message;
#[cfg(feature = "multi-tier-cache")]
pub mod multi_tier_cache;
pub mod pending;
pub mod perform_operation;
pub mod subscribe;
pub mod text;
pub mod traits;

pub use entry::Entry;
pub use entry_id::{EntryId, InvalidEntryId, StartId};
pub use error::{CacheError, CacheResult, ErrorKind, Retry};
pub use message::{ClientMessage, Operation, Reply, ServerMessage};
pub use pending::{Claimed, PendingEntries, PendingEntry, PendingQuery, PendingSummary};
pub use perform_operation::PerformOperation;
pub use subscribe::{
    ConsumeOptions, Deliveries, Gap, SubscribingBackend, Tail, TailFrom, TailItem,
};
pub use traits::{StreamEntry, StreamingBackend};
