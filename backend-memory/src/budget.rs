//! How many bytes the store holds, and how many it may hold.

use std::mem::size_of;

use streamgate_protocol::ByteString;

/// Default capacity for streams in bytes: enough for a demo, a test or a small service, and little
/// enough to share a machine of 1 GiB.
pub const DEFAULT_CAPACITY_BYTES: usize = 256 * 1024 * 1024;

/// Default capacity for pending entries and consumers' names in bytes: about 400,000
/// entries. Counted apart from the streams, so that full streams can still be consumed.
pub const DEFAULT_PENDING_BYTES: usize = 64 * 1024 * 1024;

/// Default capacity for waiting calls and tails in bytes: about 200,000 of them, far more than a
/// server allows its sockets.
pub const DEFAULT_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Capacity for encoded batches that are kept for other tails, in bytes. Beyond it each tail makes
/// its own, which costs time and no memory. Enough for thousands of streams of small entries.
pub(crate) const MAX_SHARED_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that a stream, a group or a consumer costs beside its name: its record, and its slot in a
/// table that may be half empty.
const NAMED_BYTES: usize = 512;

/// Bytes that an entry costs beside its fields: its record, its slot, and the allocator's share.
const ENTRY_BYTES: usize = 128;

/// Bytes that a field costs beside its bytes: two strings, and the allocator's share.
const FIELD_BYTES: usize = 2 * size_of::<ByteString>() + 32;

/// Bytes that a pending entry costs: its record, its id among its consumer's, and the slots of both
/// in trees that may be half empty.
pub(crate) const PENDING_BYTES: usize = 160;

/// Bytes that a waiting call or a tail costs beside the names it holds: its record, its channel or
/// waker, and its timer.
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

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether `bytes` more fit.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        bytes <= self.limit.saturating_sub(self.used)
    }

    /// Whether `bytes` more fit after `freed` are given back.
    pub(crate) fn fits_after(&self, freed: usize, bytes: usize) -> bool {
        bytes <= self.limit.saturating_sub(self.used.saturating_sub(freed))
    }

    /// Adds to the sum. The caller has checked that it fits.
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

/// Returns the bytes that an entry costs.
pub(crate) fn entry_bytes<T: AsRef<[u8]>>(fields: &[(T, T)]) -> usize {
    let field = |(name, value): &(T, T)| FIELD_BYTES + name.as_ref().len() + value.as_ref().len();
    ENTRY_BYTES + fields.iter().map(field).sum::<usize>()
}

/// Returns the bytes that a stream, a group or a consumer costs.
pub(crate) fn named_bytes(name: &[u8]) -> usize {
    NAMED_BYTES + name.len()
}

/// Returns the bytes that a waiting call or a tail costs. Names count whole, although waiting calls
/// share them.
pub(crate) fn waiting_bytes(stream: &[u8], group: &[u8]) -> usize {
    WAITING_BYTES + stream.len() + group.len()
}
