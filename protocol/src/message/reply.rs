//! Replies to operations.

use serde::{Deserialize, Serialize};

use crate::error::{CacheError, CacheResult, code};
use crate::pending::{Claimed, PendingEntry, PendingSummary};
use crate::traits::StreamEntry;

/// What an operation gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// Of an add.
    Added {
        /// The new entry's id.
        id: String,
    },
    /// Of the three reads.
    Entries {
        /// In the order the operation says.
        entries: Vec<StreamEntry>,
        /// Of a [`Operation::Read`]: the id to read after next, so that nothing is missed between
        /// two reads. It is the last entry's id, or without entries the id that was asked for,
        /// with `$` resolved.
        last_id: Option<String>,
    },
    /// Of an operation that gives nothing back.
    Done {},
    /// Of a summary of what is pending.
    Summary(PendingSummary),
    /// Of a look at pending entries.
    Pending {
        /// In the order of their ids.
        entries: Vec<PendingEntry>,
    },
    /// Of a claim.
    Claimed(Claimed),
    /// Of a consumer's removal.
    Removed {
        /// How many pending entries were handed over.
        handed_over: u64,
    },
}

impl Reply {
    /// The id of an add.
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

    /// The entries of a read.
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

    /// Nothing, of an operation that gives nothing back.
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

    /// A summary of what is pending.
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

    /// Pending entries.
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

    /// What a claim gave.
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

    /// How many entries a consumer handed over that was removed.
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
    CacheError::backend(code::PROTOCOL, "the answer is of another operation")
}
