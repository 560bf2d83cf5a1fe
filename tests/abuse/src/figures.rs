//! What the bystander saw: latencies and errors of its calls, and those of a window of time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::bounds::P99_FLOOR_MS;

/// What the bystander does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Add,
    Read,
    /// A read that waits, and the add that ends it.
    Wait,
    /// From an add to its entry in a tail.
    Tail,
}

/// A call of the bystander.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) call: Call,
    pub(crate) started: Instant,
    /// Its latency, or the error that ended it.
    pub(crate) outcome: Result<Duration, String>,
}

/// What the bystander saw in a window of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    latencies: BTreeMap<Call, Vec<Duration>>,
    /// Error texts, and how often they came.
    pub(crate) errors: BTreeMap<String, usize>,
}

impl Call {
    const ALL: [Self; 4] = [Self::Add, Self::Read, Self::Wait, Self::Tail];
}

/// How a percentile of a call's latencies grew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth {
    pub(crate) call: Call,
    /// To that before the attack.
    pub(crate) ratio: f64,
    pub(crate) ms: f64,
}

impl Figures {
    /// Returns the figures of the calls that started within a window.
    pub(crate) fn of(samples: &[Sample], window: Range<Instant>) -> Self {
        let mut figures = Self::default();
        for sample in samples
            .iter()
            .filter(|sample| window.contains(&sample.started))
        {
            match &sample.outcome {
                Ok(latency) => figures
                    .latencies
                    .entry(sample.call)
                    .or_default()
                    .push(*latency),
                Err(error) => {
                    let text = format!("{:?}: {error}", sample.call);
                    *figures.errors.entry(text).or_default() += 1;
                }
            }
        }
        for latencies in figures.latencies.values_mut() {
            latencies.sort_unstable();
        }
        figures
    }

    /// Returns how many calls failed.
    pub(crate) fn failed(&self) -> usize {
        self.errors.values().sum()
    }

    /// Returns the kinds of call none of which succeeded.
    pub(crate) fn unserved(&self) -> Vec<Call> {
        let served = |call: &Call| self.latencies.contains_key(call);
        Call::ALL.into_iter().filter(|call| !served(call)).collect()
    }

    /// Returns the call whose percentile grew most.
    pub(crate) fn worst_growth(&self, before: &Self, percent: usize) -> Option<Growth> {
        let growths = Call::ALL.into_iter().filter_map(|call| {
            let ms = self.percentile_ms(call, percent)?;
            let before = before.percentile_ms(call, percent)?;
            let ratio = ms.max(P99_FLOOR_MS) / before.max(P99_FLOOR_MS);
            Some(Growth { call, ratio, ms })
        });
        growths.max_by(|a, b| a.ratio.total_cmp(&b.ratio))
    }

    fn percentile_ms(&self, call: Call, percent: usize) -> Option<f64> {
        let latencies = self.latencies.get(&call)?;
        let index = (latencies.len() * percent / 100).min(latencies.len().checked_sub(1)?);
        Some(latencies[index].as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_of_the_window_count() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let sample = |started, outcome| Sample {
            call: Call::Add,
            started,
            outcome,
        };
        let latency = |ms| Ok(Duration::from_millis(ms));
        let samples = [
            sample(at(0), latency(10)),
            sample(at(1), latency(20)),
            sample(at(10), latency(60)),
            sample(at(11), Err("LIMIT".to_owned())),
        ];
        let before = Figures::of(&samples, at(0)..at(10));
        let during = Figures::of(&samples, at(10)..at(20));
        assert_eq!((before.failed(), during.failed()), (0, 1));
        let (call, ratio, ms) = (Call::Add, 3.0, 60.0);
        let expected = Some(Growth { call, ratio, ms });
        assert_eq!(during.worst_growth(&before, 99), expected);
        assert_eq!(during.unserved(), [Call::Read, Call::Wait, Call::Tail]);
    }
}
