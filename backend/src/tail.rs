//! Following a stream: what a server pulls, and what backends share to provide it.

pub mod gap;
pub mod page_size;
pub(crate) mod polling;
pub mod segment;
pub mod source;

pub use polling::MAX_READ_ENTRIES;
