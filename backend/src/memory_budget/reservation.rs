//! Room in a memory budget, given back when it is dropped.

use std::fmt;
use std::sync::atomic::Ordering;

use streamgate_protocol::CacheResult;

use super::{MemoryBudget, MemoryKind, MemoryShare, overloaded};

/// Bytes of a [`MemoryBudget`] that are held until this is dropped.
#[must_use = "dropping a reservation gives its bytes back"]
pub struct Reservation {
    budget: MemoryBudget,
    share: Option<MemoryShare>,
    kind: MemoryKind,
    bytes: usize,
}

impl Reservation {
    /// Holds bytes that the budget counts already.
    pub(super) fn new(
        budget: &MemoryBudget,
        share: Option<&MemoryShare>,
        kind: MemoryKind,
        bytes: usize,
    ) -> Self {
        let reservation = Self {
            budget: budget.clone(),
            share: share.cloned(),
            kind,
            bytes,
        };
        reservation.count(bytes);
        reservation
    }

    /// Returns the bytes that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns what they are held for.
    pub fn kind(&self) -> MemoryKind {
        self.kind
    }

    /// Reserves more bytes, if there is room now.
    ///
    /// # Errors
    ///
    /// `OVERLOADED`; what was reserved stays.
    pub fn try_grow(&mut self, bytes: usize) -> CacheResult<()> {
        if !self.budget.try_add(bytes, self.budget.max_bytes()) {
            self.budget.0.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(overloaded(bytes));
        }
        self.count(bytes);
        self.bytes += bytes;
        Ok(())
    }

    /// Counts more bytes, whether there is room or not.
    pub fn charge(&mut self, bytes: usize) {
        self.budget.0.used.fetch_add(bytes, Ordering::SeqCst);
        self.count(bytes);
        self.bytes += bytes;
    }

    /// Gives some bytes back, at most all.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        if bytes == 0 {
            return;
        }
        self.bytes -= bytes;
        self.discount(bytes);
        self.budget.subtract(bytes);
    }

    /// Gives back all but so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.shrink(self.bytes.saturating_sub(bytes));
    }

    /// Holds exactly so many bytes from now on, whether there is room or not.
    pub fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.charge(bytes - self.bytes);
        } else {
            self.shrink_to(bytes);
        }
    }

    /// Takes some bytes off into a reservation of their own, at most all.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            budget: self.budget.clone(),
            share: self.share.clone(),
            kind: self.kind,
            bytes,
        }
    }

    fn count(&self, bytes: usize) {
        self.budget.0.by_kind[self.kind as usize].fetch_add(bytes, Ordering::Relaxed);
        if let Some(share) = &self.share {
            share.add(bytes);
        }
    }

    fn discount(&self, bytes: usize) {
        self.budget.0.by_kind[self.kind as usize].fetch_sub(bytes, Ordering::Relaxed);
        if let Some(share) = &self.share {
            share.subtract(bytes);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("kind", &self.kind)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
