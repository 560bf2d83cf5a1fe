//! The turns of tasks on a runtime.
//!
//! Tokio ends the turn of a task after 128 operations, so that others have theirs. An operation may
//! move many bytes, or hold many messages. Such a task spends its turn by what it has done.

use std::task::{Context, Poll};

use tokio::task::coop::poll_proceed;

/// Operations that a turn has.
pub const OPERATIONS: usize = 128;

/// Spends this many operations of the current turn, or the rest of it. The next operation of the
/// runtime then waits for the next turn.
pub fn spend(cx: &mut Context<'_>, operations: usize) {
    for _ in 0..operations.min(OPERATIONS) {
        match poll_proceed(cx) {
            Poll::Ready(operation) => operation.made_progress(),
            Poll::Pending => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::coop::has_budget_remaining;

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
}
