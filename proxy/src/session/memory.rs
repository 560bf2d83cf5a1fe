//! What one session holds of the server's memory budget.
//!
//! Room for a request is reserved before it begins. What has arrived or has to be sent is charged
//! once a turn, and in steps, so that most turns touch nothing that sockets share.
//!
//! If memory runs short, the sessions that hold much first stop to read and to push. If it runs out,
//! so do all that hold anything, and requests are refused with `OVERLOADED`. `memory_watch.rs` then closes
//! whoever holds most.

use streamgate_backend::memory_budget::{MemoryBudget, MemoryKind, MemoryShare, Reservation};

use crate::session::limits::{
    HELD_WHEN_MEMORY_IS_OUT, HELD_WHEN_MEMORY_IS_SHORT, IDLE_SOCKET_BYTES,
};

/// A change of fewer bytes is charged later.
const STEP_BYTES: usize = 4 * 1024;

/// Bytes of requests that count as part of the socket: a client that sends one small request after
/// the other touches nothing that sockets share, and is served even if memory is used up.
const FREE_REQUEST_BYTES: usize = 4 * 1024;

/// The reservations of a session.
pub(super) struct SessionMemory {
    share: MemoryShare,
    socket: Reservation,
    /// Buffers that the socket keeps for its life, beyond those of an idle one.
    buffers: Reservation,
    /// Requests that the backend performs, with room for their replies. The reservation is for
    /// those beyond [`FREE_REQUEST_BYTES`], and may be larger for a while.
    performing: Reservation,
    performing_bytes: usize,
    waiting: Reservation,
    frames: Reservation,
    outgoing: Reservation,
    subscriptions: Reservation,
}

/// What a session holds beside the requests that the backend performs, in bytes.
pub(super) struct HeldBytes {
    pub(super) frames: usize,
    pub(super) waiting: usize,
    pub(super) subscriptions: usize,
    pub(super) outgoing: usize,
    /// What the socket's buffers have grown by.
    pub(super) buffers: usize,
    /// Room that the backend may have reserved for replies that take further round trips.
    pub(super) continuing: usize,
}

impl SessionMemory {
    pub(super) fn new(budget: &MemoryBudget, socket_bytes: usize) -> Self {
        let share = budget.share();
        let none = |kind| share.charge(kind, 0);
        Self {
            socket: share.charge(MemoryKind::Sockets, socket_bytes),
            buffers: none(MemoryKind::Sockets),
            performing: none(MemoryKind::Requests),
            performing_bytes: 0,
            waiting: none(MemoryKind::Requests),
            frames: none(MemoryKind::Frames),
            outgoing: none(MemoryKind::Outgoing),
            subscriptions: none(MemoryKind::Subscriptions),
            share,
        }
    }

    /// Returns the share, which completes when the session has to close.
    pub(super) fn share(&self) -> &MemoryShare {
        &self.share
    }

    /// Reserves room for a request; returns `false` if there is none.
    pub(super) fn reserve_request(&mut self, bytes: usize) -> bool {
        let needed = self.performing_bytes + bytes;
        let missing = needed.saturating_sub(FREE_REQUEST_BYTES + self.performing.bytes());
        if missing > 0 {
            // In steps, unless there is only just enough.
            let step = missing.max(STEP_BYTES);
            let grown = self.performing.try_grow(step);
            if grown.is_err() && self.performing.try_grow(missing).is_err() {
                return false;
            }
        }
        self.performing_bytes = needed;
        true
    }

    /// Gives back the room of a request that the backend no longer performs.
    pub(super) fn request_performed(&mut self, bytes: usize) {
        self.performing_bytes -= bytes;
    }

    /// Charges what the session holds.
    pub(super) fn record(&mut self, held: &HeldBytes) {
        let performing = self.performing_bytes.saturating_sub(FREE_REQUEST_BYTES);
        set_in_steps(&mut self.performing, performing);
        set_in_steps(&mut self.frames, held.frames);
        set_in_steps(&mut self.waiting, held.waiting);
        set_in_steps(&mut self.subscriptions, held.subscriptions);
        set_in_steps(&mut self.outgoing, held.outgoing);
        set_in_steps(&mut self.buffers, held.buffers);
        self.share.set_reserved_elsewhere(held.continuing);
    }

    /// Returns whether the session may read more, and load more to push: always, while the server has
    /// enough memory.
    pub(super) fn may_grow(&self) -> bool {
        let budget = self.share.budget();
        let (used, max) = (budget.used_bytes(), budget.max_bytes());
        if used < max - max / 4 {
            return true;
        }
        let most = if used < max {
            HELD_WHEN_MEMORY_IS_SHORT
        } else {
            HELD_WHEN_MEMORY_IS_OUT
        };
        // A client cannot give back the buffers and what TLS needs, so it must not wait for that.
        let kept = self.buffers.bytes() + self.socket.bytes().saturating_sub(IDLE_SOCKET_BYTES);
        self.share.used_bytes() - kept <= most
    }
}

fn set_in_steps(reservation: &mut Reservation, bytes: usize) {
    if bytes == 0 || reservation.bytes().abs_diff(bytes) >= STEP_BYTES {
        reservation.set(bytes);
    }
}
