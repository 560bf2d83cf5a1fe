//! Records when entries were sent and when they arrived.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::command::Outcome;
use super::rate;
use crate::statistics::Times;

/// Longest wait for the last deliveries after the last entry. Later ones count as lost.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(15);

/// The recorder of a generator, shared by its publisher and all receivers.
#[derive(Debug, Clone, Default)]
pub(super) struct DeliveryRecorder(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    complete: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Times, by number of the entry.
    sent: Vec<Instant>,
    times: Times,
    expected: usize,
    wrong: usize,
}

impl DeliveryRecorder {
    /// Records that the next entry is sent now. Returns its number.
    pub(super) fn record_send(&self) -> usize {
        let mut state = self.lock();
        state.sent.push(Instant::now());
        state.sent.len() - 1
    }

    /// Records that an entry has arrived.
    pub(super) fn record_arrival(&self, number: usize, is_wrong: bool) {
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

    /// Sends entries at a rate, and waits until each has arrived at all receivers.
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
        let entries = rate::count(rate, seconds);
        self.expect(entries * receivers);
        let (start, mut ticks) = (tokio::time::Instant::now(), rate::ticks(rate));
        for _ in 0..entries {
            ticks.tick().await;
            add(self.record_send()).await?;
        }
        let rate_reached = rate::reached(entries, rate, start);
        // Deliveries that are missing after the timeout are counted.
        let _ = tokio::time::timeout(DELIVERY_TIMEOUT, self.0.complete.notified()).await;
        let mut outcome = self.take();
        outcome.seconds = start.elapsed().as_secs_f64();
        outcome.entries = entries as f64;
        outcome.rate_reached = rate_reached;
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
        // A panic elsewhere has ended the measurement anyway.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn missing_and_wrong_deliveries_are_counted() {
        let recorder = DeliveryRecorder::default();
        let receiver = recorder.clone();
        let add = |number| {
            receiver.record_arrival(number, number == 1);
            async { Ok(()) }
        };
        let outcome = recorder.publish(10.0, 1.0, 2, add).await.unwrap();
        assert_eq!((outcome.operations, outcome.entries), (10.0, 10.0));
        assert_eq!((outcome.lost, outcome.wrong), (10.0, 1.0));
        assert_eq!(outcome.rate_reached, 1.0);
        let add = |number| {
            receiver.record_arrival(number, false);
            receiver.record_arrival(number, false);
            async { Ok(()) }
        };
        let outcome = recorder.publish(10.0, 1.0, 2, add).await.unwrap();
        assert_eq!((outcome.lost, outcome.wrong), (0.0, 0.0));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_adds_lower_the_reached_rate() {
        let add = async |_| {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        };
        let outcome = DeliveryRecorder::default()
            .publish(10.0, 1.0, 0, add)
            .await
            .unwrap();
        assert!(outcome.rate_reached < 0.6, "{}", outcome.rate_reached);
    }
}
