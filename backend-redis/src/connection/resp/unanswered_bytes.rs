//! The bytes of a connection's unanswered commands, as they count in the process's memory budget.
//!
//! They are reserved in steps, so that a small pipeline costs an addition.

use streamgate_backend::memory_budget::{MemoryBudget, MemoryKind, Reservation};
use streamgate_protocol::CacheResult;

/// Bytes that are reserved at once, at least.
const STEP: usize = 64 * 1024;

/// Bytes of commands that are queued, being written, or unanswered.
pub(super) struct UnansweredBytes {
    bytes: usize,
    reserved: Reservation,
}

impl UnansweredBytes {
    pub(super) fn new(memory: &MemoryBudget) -> Self {
        Self {
            bytes: 0,
            reserved: memory.charge(MemoryKind::Redis, 0),
        }
    }

    /// Adds bytes if the budget has room for them.
    pub(super) fn try_add(&mut self, bytes: usize) -> CacheResult<()> {
        if let Some(missing) = self.missing(bytes) {
            self.reserved.try_grow(missing)?;
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Adds bytes whether there is room for them or not.
    pub(super) fn add(&mut self, bytes: usize) {
        if let Some(missing) = self.missing(bytes) {
            self.reserved.charge(missing);
        }
        self.bytes += bytes;
    }

    /// Removes bytes. Returns what is no longer needed, which the caller drops without a lock.
    pub(super) fn remove(&mut self, bytes: usize) -> Option<Reservation> {
        self.bytes = self.bytes.saturating_sub(bytes);
        let unused = self.reserved.bytes() - self.bytes;
        if self.bytes == 0 {
            Some(self.reserved.split(unused))
        } else if unused >= 4 * STEP {
            Some(self.reserved.split(unused - STEP))
        } else {
            None
        }
    }

    /// Removes all bytes, as [`remove`](Self::remove) does.
    pub(super) fn clear(&mut self) -> Option<Reservation> {
        self.remove(self.bytes)
    }

    fn missing(&self, bytes: usize) -> Option<usize> {
        let missing = (self.bytes + bytes).saturating_sub(self.reserved.bytes());
        (missing > 0).then(|| missing.max(STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_reserved_in_steps_and_given_back() {
        let memory = MemoryBudget::new(10 * STEP);
        let mut unanswered = UnansweredBytes::new(&memory);
        unanswered.try_add(1).unwrap();
        assert_eq!(memory.used_bytes(), STEP);
        unanswered.try_add(STEP - 1).unwrap();
        assert_eq!(memory.used_bytes_of(MemoryKind::Redis), STEP);
        unanswered.try_add(8 * STEP).unwrap();
        assert_eq!(memory.used_bytes(), 9 * STEP);
        assert_eq!(
            unanswered.try_add(2 * STEP).unwrap_err().code(),
            "OVERLOADED"
        );
        unanswered.add(2 * STEP);
        assert_eq!(memory.used_bytes(), 11 * STEP);
        drop(unanswered.remove(8 * STEP));
        assert_eq!(memory.used_bytes(), 4 * STEP);
        drop(unanswered.clear());
        assert_eq!(memory.used_bytes(), 0);
    }
}
