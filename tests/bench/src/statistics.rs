//! Medians and percentiles.

use std::time::Duration;

/// Returns the median; of an even number of figures, the mean of the two in the middle.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    middle(&figures)
}

/// The durations of operations.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e6);
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the median and the 99th percentile in µs, or zeros if there is no duration.
    pub(crate) fn p50_and_p99(mut self) -> (f64, f64) {
        if self.0.is_empty() {
            return (0.0, 0.0);
        }
        self.0.sort_by(f64::total_cmp);
        (middle(&self.0), percentile(&self.0, 0.99))
    }
}

fn middle(sorted: &[f64]) -> f64 {
    match sorted {
        [] => f64::NAN,
        _ => f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]),
    }
}

fn percentile(sorted: &[f64], part: f64) -> f64 {
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn one_of_a_hundred_is_beyond_the_99th_percentile() {
        let mut times = Times::default();
        for millis in 1..=200 {
            times.push(Duration::from_millis(millis));
        }
        assert_eq!(times.p50_and_p99(), (100_500.0, 199_000.0));
        assert_eq!(Times::default().p50_and_p99(), (0.0, 0.0));
    }
}
