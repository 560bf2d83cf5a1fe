//! The turns of tasks on a runtime.
//!
//! Tokio ends the turn of a task after 128 operations, so that others have theirs. An operation may
//! move many bytes, or hold many messages. Such a task spends its turn by what it has done.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::{consume_budget, has_budget_remaining, poll_proceed};

/// Operations that a turn has.
pub const OPERATIONS: usize = 128;

/// Time that one operation of a turn stands for.
const OPERATION: Duration = Duration::from_micros(2);

/// Spends this many operations of the current turn, or the rest of it. The next operation of the
/// runtime then waits for the next turn.
pub fn spend(cx: &mut Context<'_>, operations: usize) {
    for _ in 0..operations.min(OPERATIONS) {
        if poll_operation(cx).is_pending() {
            return;
        }
    }
}

/// Polls for the right to an operation of the current turn: pending if the turn is used up.
pub fn poll_operation(cx: &mut Context<'_>) -> Poll<()> {
    poll_proceed(cx).map(|operation| operation.made_progress())
}

/// Spends this many operations, as [`spend`]. If the turn is used up, returns in the next one: one
/// turn of others follows at most.
///
/// # Cancel safety
///
/// Cancel safe.
pub async fn pass(operations: usize) {
    for _ in 0..operations.min(OPERATIONS) {
        consume_budget().await;
    }
    if !has_budget_remaining() {
        consume_budget().await;
    }
}

/// Spends the operations that a time of work stands for, as [`pass`]: others have their turns,
/// however long the task had worked.
///
/// # Cancel safety
///
/// Cancel safe.
pub async fn pass_time(worked: Duration) {
    pass(operations_of(worked)).await;
}

/// Returns the operations that a time of work stands for.
pub fn operations_of(worked: Duration) -> usize {
    let operations = worked.as_micros() / OPERATION.as_micros();
    usize::try_from(operations).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_turn_that_is_spent_ends_with_the_next_operation() {
        let turns = tokio::spawn(async {
            let spend = |operations| {
                poll_fn(move |cx| {
                    spend(cx, operations);
                    Poll::Ready(has_budget_remaining())
                })
            };
            assert!(spend(OPERATIONS - 1).await);
            assert!(!spend(1).await);
            assert!(!spend(usize::MAX).await);
            tokio::task::consume_budget().await;
            assert!(has_budget_remaining(), "this is the next turn");
        });
        turns.await.unwrap();
    }

    #[tokio::test]
    async fn time_of_work_uses_a_turn_up() {
        let turns = tokio::spawn(async {
            let (mut others_turns, mut polled) = (0, 0);
            let works = pass_time(Duration::from_millis(100));
            let mut works = std::pin::pin!(works);
            poll_fn(|cx| {
                polled += 1;
                let done = works.as_mut().poll(cx);
                others_turns += usize::from(done.is_pending());
                done
            })
            .await;
            assert_eq!((polled, others_turns), (2, 1));
        });
        turns.await.unwrap();
    }
}
