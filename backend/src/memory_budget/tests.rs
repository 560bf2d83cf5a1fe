use std::sync::atomic::AtomicUsize;

use futures_util::FutureExt;

use super::*;

const KIND: MemoryKind = MemoryKind::Replies;

/// A linear congruential generator: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn sum_of_kinds(budget: &MemoryBudget) -> usize {
    let of = |kind: &MemoryKind| budget.used_bytes_of(*kind);
    MemoryKind::ALL.iter().map(of).sum()
}

#[test]
fn a_reservation_beyond_the_budget_is_refused_until_room_is_given_back() {
    let budget = MemoryBudget::new(100);
    let first = budget.try_reserve(KIND, 60).unwrap();
    let refused = budget.try_reserve(KIND, 41).unwrap_err();
    assert_eq!(refused.code(), "OVERLOADED");
    assert_eq!(budget.refusals(), 1);
    drop(first);
    assert_eq!(budget.try_reserve(KIND, 100).unwrap().bytes(), 100);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn a_charge_counts_beyond_the_budget() {
    let budget = MemoryBudget::new(100);
    let mut charged = budget.charge(KIND, 150);
    assert_eq!(budget.used_bytes(), 150);
    assert!(charged.try_grow(1).is_err());
    charged.set(10);
    charged.try_grow(90).unwrap();
    assert_eq!((charged.bytes(), budget.used_bytes()), (100, 100));
}

#[tokio::test]
async fn those_who_wait_are_served_in_order_and_leave_an_eighth() {
    let budget = MemoryBudget::new(80);
    let mut held = budget.reserve(KIND, 70).await.unwrap();
    let mut large = Box::pin(budget.reserve(KIND, 50));
    let mut small = Box::pin(budget.reserve(KIND, 1));
    assert!((&mut large).now_or_never().is_none());
    assert!((&mut small).now_or_never().is_none());
    let barging = budget.try_reserve(KIND, 10).unwrap();
    held.shrink(40);
    assert!((&mut small).now_or_never().is_none());
    drop(barging);
    held.shrink(10);
    let large = large.await.unwrap();
    drop(held);
    assert_eq!(small.await.unwrap().bytes(), 1);
    assert_eq!(budget.used_bytes(), 50);
    drop(large);
    assert!(budget.reserve(KIND, 71).await.is_err(), "it never fits");
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test]
async fn whoever_leaves_the_queue_lets_those_behind_advance() {
    let budget = MemoryBudget::new(80);
    let held = budget.reserve(KIND, 60).await.unwrap();
    let mut large = Box::pin(budget.reserve(KIND, 50));
    let mut small = Box::pin(budget.reserve(KIND, 5));
    assert!((&mut large).now_or_never().is_none());
    assert!((&mut small).now_or_never().is_none());
    drop(large);
    assert_eq!(small.await.unwrap().bytes(), 5);
    let mut granted = Box::pin(budget.reserve(KIND, 70));
    assert!((&mut granted).now_or_never().is_none());
    drop(held);
    assert_eq!(budget.used_bytes(), 70);
    drop(granted);
    assert_eq!(budget.used_bytes(), 0, "granted, and never taken");
}

#[test]
fn a_share_counts_what_its_peer_holds_until_it_is_dropped() {
    let budget = MemoryBudget::new(1000);
    assert!(budget.shares().is_empty());
    let shares: Vec<_> = (0..5).map(|_| budget.share()).collect();
    let mut held: Vec<_> = (1..=5)
        .map(|n| shares[n % 5].charge(KIND, 10 * n))
        .collect();
    let used = |budget: &MemoryBudget| {
        let mut used: Vec<_> = budget
            .shares()
            .iter()
            .map(MemoryShare::used_bytes)
            .collect();
        used.sort_unstable();
        used
    };
    assert_eq!(used(&budget), [10, 20, 30, 40, 50]);
    shares[0].evict();
    assert!(shares[0].evicted().now_or_never().is_some());
    assert!(shares[1].evicted().now_or_never().is_none());
    shares[0].set_reserved_elsewhere(7);
    assert_eq!(shares[0].used_bytes(), 57);
    assert_eq!(budget.used_bytes(), 150);
    held.truncate(2);
    drop(shares);
    assert_eq!(used(&budget), [10, 20], "a reservation keeps its share");
    held.clear();
    assert!(budget.shares().is_empty());
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn any_sequence_of_calls_keeps_the_sums() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let budget = MemoryBudget::new(1000);
        let shares = [budget.share(), budget.share()];
        let mut held: Vec<(Option<usize>, Reservation)> = Vec::new();
        for _ in 0..200 {
            let share = Some(random.below(3)).filter(|n| *n < 2);
            let kind = MemoryKind::ALL[random.below(MemoryKind::ALL.len())];
            let bytes = random.below(300);
            let before = budget.used_bytes();
            match random.below(8) {
                0 | 1 => {
                    let reserved = match share {
                        Some(n) => shares[n].try_reserve(kind, bytes),
                        None => budget.try_reserve(kind, bytes),
                    };
                    assert_eq!(reserved.is_ok(), before + bytes <= 1000);
                    held.extend(reserved.ok().map(|reserved| (share, reserved)));
                }
                2 => held.push((None, budget.charge(kind, bytes))),
                _ if held.is_empty() => {}
                choice => {
                    let n = random.below(held.len());
                    let (of, reservation) = &mut held[n];
                    match choice {
                        3 => {
                            let grown = reservation.try_grow(bytes);
                            assert_eq!(grown.is_ok(), before + bytes <= 1000);
                        }
                        4 => reservation.shrink(bytes),
                        5 => reservation.set(bytes),
                        6 => {
                            let (of, split) = (*of, reservation.split(bytes));
                            held.push((of, split));
                        }
                        _ => drop(held.swap_remove(n)),
                    }
                }
            }
            let sum = |of: Option<usize>| {
                let of_share = held.iter().filter(|(owner, _)| *owner == of);
                of_share.map(|(_, held)| held.bytes()).sum::<usize>()
            };
            assert_eq!(shares[0].used_bytes(), sum(Some(0)));
            assert_eq!(shares[1].used_bytes(), sum(Some(1)));
            let all = sum(None) + sum(Some(0)) + sum(Some(1));
            assert_eq!(budget.used_bytes(), all);
            assert_eq!(sum_of_kinds(&budget), all);
        }
        drop(held);
        assert_eq!((budget.used_bytes(), sum_of_kinds(&budget)), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_waits_are_all_served_and_never_exceed_the_budget() {
    let budget = MemoryBudget::new(1000);
    let served = Arc::new(AtomicUsize::new(0));
    let tasks = (0..32).map(|seed| {
        let (budget, served) = (budget.clone(), Arc::clone(&served));
        tokio::spawn(async move {
            let mut random = Random(seed);
            for _ in 0..200 {
                let waiting = budget.reserve(KIND, random.below(500));
                if random.below(4) == 0 {
                    // Cancelled, perhaps just as it is granted.
                    let _ = waiting.now_or_never();
                    continue;
                }
                let held = waiting.await.unwrap();
                assert!(budget.used_bytes() <= 1000);
                tokio::task::yield_now().await;
                drop(held);
                served.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    futures_util::future::try_join_all(tasks).await.unwrap();
    assert!(served.load(Ordering::Relaxed) > 0);
    assert_eq!((budget.used_bytes(), sum_of_kinds(&budget)), (0, 0));
}

#[tokio::test]
async fn grants_to_those_who_waited_are_counted() {
    let budget = MemoryBudget::new(800);
    let held = budget.reserve(KIND, 700).await.unwrap();
    assert_eq!((budget.waiting(), budget.grants()), (0, 0));
    let mut waiting = Box::pin(budget.reserve(KIND, 10));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!((budget.waiting(), budget.grants()), (1, 0));
    drop(held);
    assert_eq!((budget.waiting(), budget.grants()), (0, 1));
    drop(waiting.await.unwrap());
}
