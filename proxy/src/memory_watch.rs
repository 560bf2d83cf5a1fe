//! Closes the sockets that hold most, if the memory budget stays used up.

use std::cmp::Reverse;
use std::time::Duration;

use streamgate_backend::MemoryBudget;
use tokio::time::MissedTickBehavior;

/// Time between two looks at the budget. Reading less and refusing requests come first: whoever
/// reads what it is sent needs no longer to give memory back.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// Looks in a row that find too little room, before sockets are closed.
const LOOKS_UNTIL_EVICTION: u32 = 2;

/// Looks in a row that find somebody who is not served, before sockets are closed: whoever holds
/// much may be about to give it back.
const LOOKS_UNTIL_STALLED_EVICTION: u32 = 8;

/// Watches a budget. Does not end.
pub(crate) async fn watch(budget: &MemoryBudget) {
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looks, mut refusals) = (0, budget.refusals());
    let (mut stalled_looks, mut stalls) = (0, budget.stalls());
    let mut queue = QueueWatch::new(budget);
    loop {
        ticks.tick().await;
        let refused = std::mem::replace(&mut refusals, budget.refusals()) != refusals;
        let not_read = std::mem::replace(&mut stalls, budget.stalls()) != stalls;
        let waits_in_vain = queue.stands_still(budget);
        let stalled = not_read || waits_in_vain;
        looks = if is_short(budget, refused || waits_in_vain) {
            looks + 1
        } else {
            0
        };
        stalled_looks = if stalled { stalled_looks + 1 } else { 0 };
        if looks >= LOOKS_UNTIL_EVICTION || stalled_looks >= LOOKS_UNTIL_STALLED_EVICTION {
            evict_largest(budget);
            (looks, stalled_looks) = (0, 0);
        }
    }
}

/// Sees whether those who wait for room get it.
struct QueueWatch {
    grants: u64,
    was_waiting: bool,
}

impl QueueWatch {
    fn new(budget: &MemoryBudget) -> Self {
        Self {
            grants: budget.grants(),
            was_waiting: false,
        }
    }

    /// Returns whether somebody waits, and nobody has got room since the last look. However little is
    /// used then, it is too much for the reservation that is next. A queue that moves needs no room
    /// from others.
    fn stands_still(&mut self, budget: &MemoryBudget) -> bool {
        let moved = std::mem::replace(&mut self.grants, budget.grants()) != self.grants;
        let is_waiting = budget.waiting() > 0;
        let was_waiting = std::mem::replace(&mut self.was_waiting, is_waiting);
        is_waiting && was_waiting && !moved
    }
}

/// Returns whether the budget is used up, or was too small for somebody while most of it was used.
fn is_short(budget: &MemoryBudget, was_too_small: bool) -> bool {
    let (used, max) = (budget.used_bytes(), budget.max_bytes());
    used >= max || (used >= max - max / 4 && was_too_small)
}

/// Evicts those who hold most, until an eighth of the budget is free again.
fn evict_largest(budget: &MemoryBudget) {
    let mut shares = budget.shares();
    shares.sort_by_key(|share| Reverse(share.used_bytes()));
    let mut needed = budget.max_bytes() / 8;
    for share in shares {
        let held = share.used_bytes();
        tracing::debug!(
            held,
            "memory is used up: closing the socket that holds most"
        );
        share.evict();
        needed = needed.saturating_sub(held);
        if needed == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use streamgate_backend::memory_budget::MemoryKind;

    use super::*;

    const KIND: MemoryKind = MemoryKind::Outgoing;

    #[tokio::test(start_paused = true)]
    async fn the_largest_go_until_an_eighth_is_free() {
        let budget = MemoryBudget::new(800);
        let shares: Vec<_> = (0..4).map(|_| budget.share()).collect();
        let held: Vec<_> = [60, 10, 700, 30]
            .iter()
            .zip(&shares)
            .map(|(bytes, share)| share.charge(KIND, *bytes))
            .collect();
        let evicted = |n: usize| shares[n].evicted().now_or_never().is_some();
        let mut watching = Box::pin(watch(&budget));
        assert!((&mut watching).now_or_never().is_none());
        assert!(!evicted(2), "once is not enough");
        tokio::time::advance(WATCH_EVERY).await;
        assert!((&mut watching).now_or_never().is_none());
        assert!(evicted(2));
        assert!(!evicted(0), "the largest alone makes room");
        drop(held);
        for _ in 0..4 {
            tokio::time::advance(WATCH_EVERY).await;
            assert!((&mut watching).now_or_never().is_none());
        }
        assert!((0..4).all(|n| !evicted(n)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_budget_evicts_nobody_while_nobody_needs_room() {
        let budget = MemoryBudget::new(800);
        let share = budget.share();
        let _held = share.charge(KIND, 790);
        let mut watching = Box::pin(watch(&budget));
        for refused in [false, true] {
            for _ in 0..6 {
                assert!((&mut watching).now_or_never().is_none());
                if refused {
                    assert!(budget.try_reserve(KIND, 100).is_err());
                }
                tokio::time::advance(WATCH_EVERY).await;
            }
            assert_eq!(share.evicted().now_or_never().is_some(), refused);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_holds_most_goes_if_others_are_not_read_for_long() {
        let budget = MemoryBudget::new(800);
        let share = budget.share();
        let _held = share.charge(KIND, 610);
        let mut watching = Box::pin(watch(&budget));
        for _ in 0..LOOKS_UNTIL_STALLED_EVICTION {
            assert!((&mut watching).now_or_never().is_none());
            assert!(share.evicted().now_or_never().is_none());
            budget.record_stall();
            tokio::time::advance(WATCH_EVERY).await;
        }
        assert!((&mut watching).now_or_never().is_none());
        assert!(share.evicted().now_or_never().is_some());
    }

    /// A reservation of half of a small budget may wait although less than three quarters are used.
    #[tokio::test(start_paused = true)]
    async fn whoever_holds_most_goes_if_nobody_gets_the_room_that_they_wait_for() {
        let budget = MemoryBudget::new(800);
        let share = budget.share();
        let _held = share.charge(KIND, 500);
        let mut waiting = Box::pin(budget.reserve(KIND, 400));
        assert!((&mut waiting).now_or_never().is_none());
        let mut watching = Box::pin(watch(&budget));
        for _ in 0..LOOKS_UNTIL_STALLED_EVICTION {
            assert!((&mut watching).now_or_never().is_none());
            assert!(share.evicted().now_or_never().is_none());
            tokio::time::advance(WATCH_EVERY).await;
        }
        assert!((&mut watching).now_or_never().is_none());
        assert!(share.evicted().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_moves_evicts_nobody() {
        let budget = MemoryBudget::new(800);
        let share = budget.share();
        let _held = share.charge(KIND, 500);
        let mut room = budget.reserve(KIND, 200).await.unwrap();
        let mut watching = Box::pin(watch(&budget));
        for _ in 0..20 {
            let mut next = Box::pin(budget.reserve(KIND, 200));
            assert!((&mut next).now_or_never().is_none());
            assert!((&mut watching).now_or_never().is_none());
            tokio::time::advance(WATCH_EVERY).await;
            drop(room);
            room = next.await.unwrap();
        }
        assert!((&mut watching).now_or_never().is_none());
        assert!(share.evicted().now_or_never().is_none());
    }
}
