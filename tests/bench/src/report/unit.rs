//! How figures are written.

use serde::Serialize;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    PerSecond,
    Microseconds,
    Kibibytes,
    Count,
}

impl Unit {
    /// A figure with its unit, with as many digits as mean something.
    pub(crate) fn show(self, figure: f64) -> String {
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
    fn figures_have_three_digits_or_so() {
        assert_eq!(Unit::PerSecond.show(512_345.0), "512 k/s");
        assert_eq!(Unit::PerSecond.show(99.6), "100 /s");
        assert_eq!(Unit::Microseconds.show(1.234), "1.23 us");
        assert_eq!(Unit::Microseconds.show(61.27), "61.3 us");
        assert_eq!(Unit::Kibibytes.show(1000.4), "1000 KiB");
        assert_eq!(Unit::Count.show(2.0), "2");
    }
}
