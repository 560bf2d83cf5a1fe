//! Medians, and how they are printed.

/// The middle of some figures; of an even number, the upper one of the two.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints a workload's heading.
pub(crate) fn heading(text: &str) {
    println!("\n{text}");
}

/// Prints one figure of one way.
pub(crate) fn row(way: &str, figure: &str) {
    println!("  {way:<44} {figure:>32}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 3.0);
        assert!(median(vec![]).is_nan());
    }
}
