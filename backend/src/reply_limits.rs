//! How large the reply to an operation may be.

use streamgate_protocol::limits::MAX_REPLY_BYTES;

/// Most consumers of a group that a reply lists: a backend answers `LIMIT` if there are more. It
/// lists them in one step, in a few milliseconds.
pub const MAX_LISTED_CONSUMERS: usize = 10_000;

/// How large the reply to an operation may be, for [`Backend::perform`](crate::Backend::perform).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplyLimits {
    /// The largest reply that the client can be sent, in bytes. A backend need not load what is
    /// beyond it: the server would cut the reply, or refuse it with `LIMIT`.
    pub max_bytes: usize,
}

impl ReplyLimits {
    /// Returns limits with so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes }
    }
}

impl Default for ReplyLimits {
    /// Returns the limits of the protocol: [`MAX_REPLY_BYTES`].
    fn default() -> Self {
        Self::new(MAX_REPLY_BYTES)
    }
}
