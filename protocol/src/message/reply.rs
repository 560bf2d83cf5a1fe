//! Replies to operations.

use serde::{Deserialize, Serialize};

use crate::error::{CacheError, CacheResult, code};
use crate::pending::{Claimed, PendingEntry, PendingSummary};
use crate::traits::StreamEntry;

/// The reply to an [`Operation`](super::Operation).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
        entries: Vec<StreamEntry>,
        /// Of [`Operation::Read`](super::Operation::Read) only: the id to read after next, so that
        /// two reads miss nothing between them. It is the last entry's id; without entries it is
        /// the request's id, with `$` resolved.
        last_id: Option<String>,
    },
    /// Answers an operation without a result.
    Done {},
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
}

impl Reply {
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
    pub fn into_entries(self) -> CacheResult<Vec<StreamEntry>> {
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
    CacheError::backend(code::PROTOCOL, "the reply answers another operation")
}
