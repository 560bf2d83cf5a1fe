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

/// Looks in a row that find somebody who is not read, before sockets are closed: whoever holds much
/// may be about to give it back.
const LOOKS_UNTIL_STALLED_EVICTION: u32 = 8;

/// Watches a budget. Does not end.
pub(crate) async fn watch(budget: &MemoryBudget) {
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looks, mut refusals) = (0, budget.refusals());
    let (mut stalled_looks, mut stalls) = (0, budget.stalls());
    loop {
        ticks.tick().await;
        let refused = std::mem::replace(&mut refusals, budget.refusals()) != refusals;
        let stalled = std::mem::replace(&mut stalls, budget.stalls()) != stalls;
        looks = if is_short(budget, refused) {
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

/// Returns whether the budget is used up, or has refused or kept waiting while most of it was used.
fn is_short(budget: &MemoryBudget, refused: bool) -> bool {
    let (used, max) = (budget.used_bytes(), budget.max_bytes());
    used >= max || (used >= max - max / 4 && (refused || budget.waiting() > 0))
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
}
