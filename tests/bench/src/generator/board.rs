//! Where receivers write down what arrived, and the publisher when it was sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::order::Outcome;
use super::pace;
use crate::statistics::Times;

/// Longest time for the last deliveries after the last entry: what has not come by then is lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// One board for all receivers of a generator.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    complete: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By number of the entry.
    sent: Vec<Instant>,
    times: Times,
    expected: usize,
    wrong: usize,
}

impl Board {
    /// The number of the next entry, which is sent now.
    pub(super) fn send(&self) -> usize {
        let mut state = self.lock();
        state.sent.push(Instant::now());
        state.sent.len() - 1
    }

    /// An entry has arrived.
    pub(super) fn arrived(&self, number: usize, is_wrong: bool) {
        let mut state = self.lock();
        if let Some(sent) = state.sent.get(number) {
            let time = sent.elapsed();
            state.times.push(time);
        }
        state.wrong += usize::from(is_wrong);
        if state.times.len() == state.expected {
            self.0.complete.notify_one();
        }
    }

    /// Sends entries at a rate and awaits that each arrives at so many receivers.
    pub(super) async fn publish<F>(
        &self,
        rate: f64,
        seconds: f64,
        receivers: usize,
        mut add: impl FnMut(usize) -> F,
    ) -> anyhow::Result<Outcome>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let entries = pace::count(rate, seconds);
        self.expect(entries * receivers);
        let (start, mut ticks) = (tokio::time::Instant::now(), pace::ticks(rate));
        for _ in 0..entries {
            ticks.tick().await;
            add(self.send()).await?;
        }
        let pace = pace::reached(entries, rate, start);
        // What has not arrived by then is counted.
        let _ = tokio::time::timeout(PATIENCE, self.0.complete.notified()).await;
        let mut outcome = self.take();
        outcome.seconds = start.elapsed().as_secs_f64();
        outcome.entries = entries as f64;
        outcome.pace = pace;
        Ok(outcome)
    }

    fn expect(&self, deliveries: usize) {
        let mut state = self.lock();
        state.expected = deliveries;
        state.times = Times::default();
    }

    fn take(&self) -> Outcome {
        let mut state = self.lock();
        let times = std::mem::take(&mut state.times);
        let operations = times.len();
        let (p50_us, p99_us) = times.p50_and_p99();
        Outcome {
            operations: operations as f64,
            p50_us,
            p99_us,
            lost: state.expected.saturating_sub(operations) as f64,
            wrong: std::mem::take(&mut state.wrong) as f64,
            ..Outcome::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has ended the measurement anyway.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_arrive_is_lost_and_what_is_wrong_is_counted() {
        let board = Board::default();
        let receiver = board.clone();
        let add = |number| {
            receiver.arrived(number, number == 1);
            async { Ok(()) }
        };
        let outcome = board.publish(10.0, 1.0, 2, add).await.unwrap();
        assert_eq!((outcome.operations, outcome.entries), (10.0, 10.0));
        assert_eq!((outcome.lost, outcome.wrong), (10.0, 1.0));
        assert_eq!(outcome.pace, 1.0);
        let add = |number| {
            receiver.arrived(number, false);
            receiver.arrived(number, false);
            async { Ok(()) }
        };
        let outcome = board.publish(10.0, 1.0, 2, add).await.unwrap();
        assert_eq!((outcome.lost, outcome.wrong), (0.0, 0.0));
    }

    #[tokio::test(start_paused = true)]
    async fn adds_that_are_slower_than_the_rate_are_seen_by_the_pace() {
        let add = async |_| {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        };
        let outcome = Board::default().publish(10.0, 1.0, 0, add).await.unwrap();
        assert!(outcome.pace < 0.6, "{}", outcome.pace);
    }
}
