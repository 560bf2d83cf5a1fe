//! How much is held, and how much may be.

use std::mem::size_of;

/// Bytes of streams that [`MemoryStreams::new`](super::MemoryStreams::new) has room for: enough
/// for a demo, a test or a small service, and little enough to share a machine of 1 GiB.
pub const DEFAULT_CAPACITY_BYTES: usize = 256 * 1024 * 1024;

/// Bytes of pending entries and consumers' names, over all groups: about half a million entries.
/// Counted apart from the streams, so that streams that are full can still be consumed.
pub const MAX_PENDING_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of waiting calls and of followers: about 200,000 of them, far more than one server's sockets are granted.
pub const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of batches that are kept, encoded, for the followers that come for them. Beyond it each
/// follower makes its own, which costs time and no memory. Enough for thousands of streams of
/// small entries at once.
pub(crate) const MAX_SHARED_BYTES: usize = 8 * 1024 * 1024;

/// What a stream, a group or a consumer costs beside its name: its record, and its slot in a
/// table that may be half empty.
pub(crate) const NAMED_BYTES: usize = 512;

/// What an entry costs beside its fields: its record, its slot, and the allocator's own.
const ENTRY_BYTES: usize = 128;

/// What a field costs beside its text: two strings and the allocator's own.
const FIELD_BYTES: usize = 2 * size_of::<String>() + 32;

/// What a pending entry costs: its record, its place in a tree that may be half empty.
pub(crate) const PENDING_BYTES: usize = 128;

/// What a waiting call or a follower costs beside the names it holds: its record, its channel or
/// waker, its timer.
const WAITING_BYTES: usize = 320;

/// A sum of bytes that stays within a limit.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// Whether `bytes` more fit.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        bytes <= self.limit.saturating_sub(self.used)
    }

    /// Whether `bytes` more fit once `freed` are given back.
    pub(crate) fn fits_after(&self, freed: usize, bytes: usize) -> bool {
        bytes <= self.limit.saturating_sub(self.used.saturating_sub(freed))
    }

    /// Adds to the sum. The caller has asked whether it fits.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
    }

    pub(crate) fn give_back(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.used, "more is given back than was taken");
        self.used = self.used.saturating_sub(bytes);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

/// What an entry costs.
pub(crate) fn entry_bytes<T: AsRef<str>>(fields: &[(T, T)]) -> usize {
    let field = |(name, value): &(T, T)| FIELD_BYTES + name.as_ref().len() + value.as_ref().len();
    ENTRY_BYTES + fields.iter().map(field).sum::<usize>()
}

/// What a stream, a group or a consumer costs.
pub(crate) fn named_bytes(name: &str) -> usize {
    NAMED_BYTES + name.len()
}

/// What a waiting call or a follower costs. The names are counted whole although waiting calls share them.
pub(crate) fn waiting_bytes(stream: &str, group: &str) -> usize {
    WAITING_BYTES + stream.len() + group.len()
}
