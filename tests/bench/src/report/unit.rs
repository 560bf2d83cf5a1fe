//! Units, and how figures are formatted.

use serde::Serialize;

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    PerSecond,
    Microseconds,
    Kibibytes,
    Count,
}

impl Unit {
    /// Formats a figure with its unit, with about three significant digits.
    pub(crate) fn format(self, figure: f64) -> String {
        match self {
            Self::PerSecond if figure >= 10_000.0 => format!("{:.0} k/s", figure / 1e3),
            Self::PerSecond => format!("{figure:.0} /s"),
            Self::Microseconds => format!("{} us", short(figure)),
            Self::Kibibytes => format!("{} KiB", short(figure)),
            Self::Count => short(figure),
        }
    }
}

fn short(figure: f64) -> String {
    if figure.fract() == 0.0 || figure >= 100.0 {
        format!("{figure:.0}")
    } else if figure >= 10.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_about_three_digits() {
        assert_eq!(Unit::PerSecond.format(512_345.0), "512 k/s");
        assert_eq!(Unit::PerSecond.format(99.6), "100 /s");
        assert_eq!(Unit::Microseconds.format(1.234), "1.23 us");
        assert_eq!(Unit::Microseconds.format(61.27), "61.3 us");
        assert_eq!(Unit::Kibibytes.format(1000.4), "1000 KiB");
        assert_eq!(Unit::Count.format(2.0), "2");
    }
}
