//! Replies to operations.

use crate::entry::Entry;
use crate::error::{CacheError, CacheResult, code};
use crate::pending::{Claimed, ConsumerInfo, PendingEntry, PendingSummary};

/// The reply to an [`Operation`](super::Operation).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Answers an add.
    Added {
        /// The new entry's id.
        id: String,
    },
    /// Answers a read.
    Entries {
        /// The entries, in the order that the operation defines.
        entries: Vec<Entry>,
        /// Of [`Operation::Read`](super::Operation::Read) only: the id to read after next, so that
        /// two reads miss nothing between them. It is the last entry's id; without entries it is
        /// the request's id, with `$` resolved.
        last_id: Option<String>,
        /// Of [`Operation::ReadGroup`](super::Operation::ReadGroup) only: entries that were
        /// delivered to the consumer did not fit into the reply. They are pending for it.
        more: bool,
    },
    /// Answers an operation without a result.
    Done {},
    /// Answers an acknowledgement.
    Acknowledged {
        /// The number of entries that were pending and are no longer.
        count: u64,
    },
    /// Answers a summary of pending entries.
    Summary(PendingSummary),
    /// Answers a list of pending entries.
    Pending {
        /// The pending entries, in the order of their ids.
        entries: Vec<PendingEntry>,
    },
    /// Answers a claim.
    Claimed(Claimed),
    /// Answers the removal of a consumer.
    Removed {
        /// The number of entries handed to the new owner.
        handed_over: u64,
    },
    /// Answers a list of consumers.
    Consumers {
        /// The consumers, by name.
        consumers: Vec<ConsumerInfo>,
    },
}

impl Reply {
    /// Builds the reply of a read that returned all it found.
    pub fn entries(entries: Vec<Entry>) -> Self {
        Self::Entries {
            entries,
            last_id: None,
            more: false,
        }
    }

    /// Returns the id of an added entry.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if this answers another operation.
    pub fn into_added(self) -> CacheResult<String> {
        match self {
            Self::Added { id } => Ok(id),
            _ => Err(mismatch()),
        }
    }

    /// Returns the entries of a read.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if this answers another operation.
    pub fn into_entries(self) -> CacheResult<Vec<Entry>> {
        match self {
            Self::Entries { entries, .. } => Ok(entries),
            _ => Err(mismatch()),
        }
    }

    /// Checks that this answers an operation without a result.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if this answers another operation.
    pub fn into_done(self) -> CacheResult<()> {
        match self {
            Self::Done {} => Ok(()),
            _ => Err(mismatch()),
        }
    }

    /// Returns the number of acknowledged entries.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if this answers another operation.
    pub fn into_acknowledged(self) -> CacheResult<u64> {
        match self {
            Self::Acknowledged { count } => Ok(count),
            _ => Err(mismatch()),
        }
    }

    /// Returns the consumers of a group.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if this answers another operation.
    pub fn into_consumers(self) -> CacheResult<Vec<ConsumerInfo>> {
        match self {
            Self::Consumers { consumers } => Ok(consumers),
            _ => Err(mismatch()),
        }
    }

    /// Returns the summary of pending entries.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if this answers another operation.
    pub fn into_summary(self) -> CacheResult<PendingSummary> {
        match self {
            Self::Summary(summary) => Ok(summary),
            _ => Err(mismatch()),
        }
    }

    /// Returns the pending entries.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if this answers another operation.
    pub fn into_pending(self) -> CacheResult<Vec<PendingEntry>> {
        match self {
            Self::Pending { entries } => Ok(entries),
            _ => Err(mismatch()),
        }
    }

    /// Returns the result of a claim.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if this answers another operation.
    pub fn into_claimed(self) -> CacheResult<Claimed> {
        match self {
            Self::Claimed(claimed) => Ok(claimed),
            _ => Err(mismatch()),
        }
    }

    /// Returns the number of entries that the removal of a consumer handed over.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if this answers another operation.
    pub fn into_removed(self) -> CacheResult<u64> {
        match self {
            Self::Removed { handed_over } => Ok(handed_over),
            _ => Err(mismatch()),
        }
    }
}

fn mismatch() -> CacheError {
    // Without `format!`, a kilobyte of a browser's download.
    CacheError::from_code(code::PROTOCOL, "the reply answers another operation")
}
