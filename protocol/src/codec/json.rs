//! The JSON encoding of records, choices, lists and text.
//!
//! A parser of its own, because the protocol is stricter than serde: a record is an object, no key
//! comes twice, and numbers are digits alone. It borrows text without escapes from the frame.

mod base64;
mod reader;
mod string;
mod writer;

pub use reader::JsonReader;
pub(super) use reader::{envelope, present};
pub(super) use writer::{write_bytes, write_list, write_text, write_uint};
