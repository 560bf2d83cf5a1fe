//! One memory budget for everything that peers can make a server hold.
//!
//! Room is reserved before work begins, and given back when the [`Reservation`] is dropped. Bytes
//! that have arrived already are [charged](MemoryBudget::charge): they count whether there is room
//! or not. A [`MemoryShare`] knows what one peer holds, so that the server can close whoever holds
//! most.

mod reservation;
mod share;
mod wait_queue;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};

use self::share::ShareRegistry;
use self::wait_queue::WaitQueue;

pub use self::reservation::Reservation;
pub use self::share::MemoryShare;

/// What memory is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryKind {
    /// Sockets that are open, with what each holds while it is idle.
    Sockets,
    /// Frames that are being received, or wait to be decoded.
    Frames,
    /// Operations that a backend performs, or that wait for an entry.
    Requests,
    /// Replies that a backend loads.
    Replies,
    /// Entries that subscriptions buffer, and those that tails share.
    Subscriptions,
    /// Frames that are not written yet, and files that are being sent.
    Outgoing,
    /// Commands that a backend has sent to Redis, or has to send, until they are answered.
    Redis,
}

impl MemoryKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Sockets,
        Self::Frames,
        Self::Requests,
        Self::Replies,
        Self::Subscriptions,
        Self::Outgoing,
        Self::Redis,
    ];

    /// Returns the name, as metrics show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Frames => "frames",
            Self::Requests => "requests",
            Self::Replies => "replies",
            Self::Subscriptions => "subscriptions",
            Self::Outgoing => "outgoing",
            Self::Redis => "redis",
        }
    }
}

/// A memory budget in bytes. Clones share it.
///
/// Reserving and giving back take a few atomic operations; nothing locks unless somebody waits.
///
/// ```
/// use streamgate_backend::memory_budget::{MemoryBudget, MemoryKind};
///
/// let budget = MemoryBudget::new(1024);
/// let mut reply = budget.try_reserve(MemoryKind::Replies, 1000).unwrap();
/// let refused = budget.try_reserve(MemoryKind::Requests, 100).unwrap_err();
/// assert_eq!(refused.code(), "OVERLOADED");
/// reply.shrink_to(10);
/// assert_eq!(budget.used_bytes_of(MemoryKind::Replies), 10);
/// drop(reply);
/// assert_eq!(budget.used_bytes(), 0);
/// ```
#[derive(Clone)]
pub struct MemoryBudget(Arc<BudgetState>);

struct BudgetState {
    max_bytes: usize,
    used: AtomicUsize,
    by_kind: [AtomicUsize; MemoryKind::ALL.len()],
    refusals: AtomicU64,
    stalls: AtomicU64,
    queue: WaitQueue,
    shares: ShareRegistry,
}

impl MemoryBudget {
    /// Returns a budget of so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self(Arc::new(BudgetState {
            max_bytes,
            used: AtomicUsize::new(0),
            by_kind: Default::default(),
            refusals: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            queue: WaitQueue::default(),
            shares: ShareRegistry::default(),
        }))
    }

    /// Returns a budget that counts, and refuses nothing.
    pub fn unlimited() -> Self {
        // Half of the address space, so that sums cannot overflow.
        Self::new(usize::MAX / 2)
    }

    /// Returns the budget in bytes.
    pub fn max_bytes(&self) -> usize {
        self.0.max_bytes
    }

    /// Returns the bytes that are held. They exceed [`max_bytes`](Self::max_bytes) only by what was
    /// [charged](Self::charge).
    pub fn used_bytes(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Returns the bytes that are held for one kind.
    pub fn used_bytes_of(&self, kind: MemoryKind) -> usize {
        self.0.by_kind[kind as usize].load(Ordering::Relaxed)
    }

    /// Returns how many reservations were refused.
    pub fn refusals(&self) -> u64 {
        self.0.refusals.load(Ordering::Relaxed)
    }

    /// Counts that a peer was not served because too little room is left.
    pub fn record_stall(&self) {
        self.0.stalls.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often peers were not served because too little room was left.
    pub fn stalls(&self) -> u64 {
        self.0.stalls.load(Ordering::Relaxed)
    }

    /// Returns the share of one more peer.
    pub fn share(&self) -> MemoryShare {
        MemoryShare::new(self.clone())
    }

    /// Returns how many wait in [`reserve`](Self::reserve).
    pub fn waiting(&self) -> usize {
        self.0.queue.len()
    }

    /// Returns how many of those who had to wait in [`reserve`](Self::reserve) got their room.
    pub fn grants(&self) -> u64 {
        self.0.queue.grants()
    }

    /// Returns all shares.
    pub fn shares(&self) -> Vec<MemoryShare> {
        self.0.shares.all()
    }

    /// Reserves bytes if there is room now, even while others wait in [`reserve`](Self::reserve).
    ///
    /// # Errors
    ///
    /// `OVERLOADED`.
    pub fn try_reserve(&self, kind: MemoryKind, bytes: usize) -> CacheResult<Reservation> {
        self.try_reserve_for(None, kind, bytes)
    }

    /// Reserves bytes as soon as there is room, in the order of the calls.
    ///
    /// An eighth of the budget stays out of reach, so that large reservations leave room for small
    /// ones that do not wait.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` if so many bytes can never be reserved.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue, and reserves nothing.
    pub async fn reserve(&self, kind: MemoryKind, bytes: usize) -> CacheResult<Reservation> {
        self.reserve_for(None, kind, bytes).await
    }

    /// Counts bytes that are held already, whether there is room or not.
    pub fn charge(&self, kind: MemoryKind, bytes: usize) -> Reservation {
        self.charge_for(None, kind, bytes)
    }

    fn try_reserve_for(
        &self,
        share: Option<&MemoryShare>,
        kind: MemoryKind,
        bytes: usize,
    ) -> CacheResult<Reservation> {
        if self.try_add(bytes, self.0.max_bytes) {
            Ok(Reservation::new(self, share, kind, bytes))
        } else {
            self.0.refusals.fetch_add(1, Ordering::Relaxed);
            Err(overloaded(bytes))
        }
    }

    async fn reserve_for(
        &self,
        share: Option<&MemoryShare>,
        kind: MemoryKind,
        bytes: usize,
    ) -> CacheResult<Reservation> {
        let max_bytes = self.max_waiting_bytes();
        if bytes > max_bytes {
            self.0.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(overloaded(bytes));
        }
        self.0.queue.wait(self, bytes).await;
        Ok(Reservation::new(self, share, kind, bytes))
    }

    fn charge_for(
        &self,
        share: Option<&MemoryShare>,
        kind: MemoryKind,
        bytes: usize,
    ) -> Reservation {
        self.0.used.fetch_add(bytes, Ordering::SeqCst);
        Reservation::new(self, share, kind, bytes)
    }

    /// Returns how far reservations that wait may fill the budget.
    fn max_waiting_bytes(&self) -> usize {
        self.0.max_bytes - self.0.max_bytes / 8
    }

    /// Adds to the bytes that are held, unless they would exceed the bound.
    fn try_add(&self, bytes: usize, max_bytes: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max_bytes);
        let added = self
            .0
            .used
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, add);
        added.is_ok()
    }

    /// Gives bytes back, and serves those who wait for them.
    fn subtract(&self, bytes: usize) {
        if bytes > 0 {
            self.0.used.fetch_sub(bytes, Ordering::SeqCst);
            self.0.queue.serve(self);
        }
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("max_bytes", &self.max_bytes())
            .field("used_bytes", &self.used_bytes())
            .finish_non_exhaustive()
    }
}

fn overloaded(bytes: usize) -> CacheError {
    let why = format!("the server's memory budget has no room for {bytes} bytes; try again later");
    CacheError::from_code(code::OVERLOADED, &why)
}

#[cfg(test)]
mod tests;
