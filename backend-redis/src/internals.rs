//! What fuzz targets call.
//!
//! **Not public API.** Nothing in this module is covered by semantic versioning: it may change in
//! any release.

pub use crate::connection::resp::reader::{AnswerReader, MalformedAnswer};
