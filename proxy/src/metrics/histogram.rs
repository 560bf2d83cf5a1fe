//! A histogram of times that is recorded with two atomic additions.
//!
//! The histogram of `prometheus-client` takes a lock for each value.

use std::time::Duration;

use super::Count;

/// Upper bounds of the buckets in microseconds. Longer times are in one more.
const BOUNDS: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// Counts of times by their length.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Count; BOUNDS.len() + 1],
    sum_micros: Count,
}

/// A histogram at one moment.
#[derive(Debug, PartialEq)]
pub(super) struct HistogramValues {
    pub(super) sum_seconds: f64,
    pub(super) count: u64,
    /// The bounds in seconds, with the number of times in each bucket alone.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Records a time that this many requests took.
    pub(crate) fn record(&self, time: Duration, count: u64) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.add(count);
        }
        self.sum_micros.add(micros.saturating_mul(count));
    }

    pub(super) fn values(&self) -> HistogramValues {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6);
        let buckets: Vec<_> = bounds
            .chain([f64::INFINITY])
            .zip(self.buckets.iter().map(Count::value))
            .collect();
        HistogramValues {
            sum_seconds: self.sum_micros.value() as f64 / 1e6,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for (micros, count) in [
            (0, 1),
            (100, 2),
            (101, 4),
            (10_000_000, 8),
            (10_000_001, 16),
        ] {
            histogram.record(Duration::from_micros(micros), count);
        }
        let values = histogram.values();
        assert_eq!(values.count, 31);
        assert_eq!(values.buckets[0], (0.0001, 3));
        assert_eq!(values.buckets[1], (0.00025, 4));
        assert_eq!(values.buckets[14], (10.0, 8));
        assert_eq!(values.buckets[15], (f64::INFINITY, 16));
        assert!(
            (values.sum_seconds - 240.000_62).abs() < 0.001,
            "{values:?}"
        );
    }
}
