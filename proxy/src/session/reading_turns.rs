//! The turns of a session that reads without pause.
//!
//! Tokio has no priorities. It looks for what has arrived between rounds of tasks, and a task that
//! yields is in the next round. If busy sessions were in every round, what arrives for others would
//! wait for a turn of each. So they spread over rounds: a call of another waits for about one.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use streamgate_backend::turn;
use tokio::task::coop::has_budget_remaining;

/// Operations for the control frames that the socket reads at once, at most a few us.
const CONTROL_FRAMES_OPERATIONS: usize = 8;

/// Rounds that a session misses at most between two turns. Each costs the poll of a task, a
/// thousandth of a turn.
const MAX_ROUNDS: usize = 32;

/// Sessions of this process that wait for their next turn.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Turns that were waited for, of all sessions: those that follow each other miss different numbers of
/// rounds.
static WAITS: AtomicUsize = AtomicUsize::new(0);

/// Spends this turn for the time in which frames were read and dispatched. If it is used up, returns in
/// the [`next_turn`].
///
/// # Cancel safety
///
/// Cancel safe.
pub(super) async fn spend_reading(worked: Duration) {
    spend(turn::operations_of(worked)).await;
}

/// Does the same for the control frames that were read at once. Nobody saw when the session began to
/// read them.
pub(super) async fn spend_control_frames() {
    spend(CONTROL_FRAMES_OPERATIONS).await;
}

async fn spend(operations: usize) {
    poll_fn(|cx| {
        turn::spend(cx, operations);
        Poll::Ready(())
    })
    .await;
    if !has_budget_remaining() {
        next_turn().await;
    }
}

/// Waits for the next turn of a session that has more to read at once. Others have theirs meanwhile, and
/// the runtime looks for what has arrived.
///
/// # Cancel safety
///
/// Cancel safe.
pub(super) async fn next_turn() {
    let waiting = Waiting::new();
    let number = WAITS.fetch_add(1, Ordering::Relaxed);
    for _ in 0..=number % max_missed(waiting.others) {
        tokio::task::yield_now().await;
    }
}

/// Counts a session that waits for its next turn, until it is dropped.
struct Waiting {
    others: usize,
}

impl Waiting {
    fn new() -> Self {
        let others = WAITING.fetch_add(1, Ordering::Relaxed);
        Self { others }
    }
}

/// Returns how many rounds are missed at most: on average one for each other that waits, so that about
/// one has its turn in each round.
fn max_missed(others: usize) -> usize {
    (2 * others + 1).min(MAX_ROUNDS)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn sessions_that_have_more_to_do_spread_over_rounds() {
        const SESSIONS: usize = 8;
        const TURNS: usize = 100;
        let rounds = tokio::spawn(async {
            let mut rounds = 0;
            loop {
                tokio::task::yield_now().await;
                rounds += 1;
                if WAITING.load(Ordering::Relaxed) == 0 {
                    return rounds;
                }
            }
        });
        let sessions = (0..SESSIONS).map(|_| {
            tokio::spawn(async {
                for _ in 0..TURNS {
                    next_turn().await;
                }
            })
        });
        join_all(sessions).await;
        let rounds = rounds.await.unwrap();
        assert!(rounds > SESSIONS * TURNS / 2, "{rounds} rounds");
    }

    #[test]
    fn a_session_alone_misses_no_round_and_none_misses_many() {
        assert_eq!([0, 1, 7, 1_000].map(max_missed), [1, 3, 15, MAX_ROUNDS]);
    }
}
