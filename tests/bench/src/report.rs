//! The report: figures, compared with those of other systems.

use serde::Serialize;

use crate::harness::Machine;
use crate::statistics::median;

pub(crate) mod svg;
pub(crate) mod table;
mod unit;

pub(crate) use unit::Unit;

/// The results of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// One figure of streamgate, and what it is compared with.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    pub(crate) measure: &'static str,
    pub(crate) unit: Unit,
    pub(crate) ours: Figure,
    #[serde(rename = "rivals")]
    pub(crate) baselines: Vec<Baseline>,
    /// The goal of the figure itself.
    pub(crate) goal: Option<Goal>,
}

/// A figure's median, and its value in each round.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    rounds: Vec<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Baseline {
    pub(crate) name: &'static str,
    pub(crate) figure: Figure,
    /// The median of the rounds' ratios, ours to the baseline's. Figures of one round were measured
    /// under the same conditions; those of different rounds were not.
    pub(crate) ratio: f64,
    pub(crate) goal: Option<Goal>,
}

/// The goal of a figure or of a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        let rows = Vec::new();
        Self { machine, rows }
    }
}

impl Row {
    pub(crate) fn new(
        workload: &'static str,
        measure: &'static str,
        unit: Unit,
        ours: Vec<f64>,
    ) -> Self {
        Self {
            workload,
            measure,
            unit,
            ours: Figure::new(ours),
            baselines: Vec::new(),
            goal: None,
        }
    }

    /// Sets the goal of the figure itself.
    pub(crate) fn with_goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// Whether the figure or a ratio has a goal.
    pub(crate) fn has_goal(&self) -> bool {
        self.goal.is_some()
            || self
                .baselines
                .iter()
                .any(|baseline| baseline.goal.is_some())
    }

    /// Adds a baseline's figures, in the same order of rounds.
    pub(crate) fn compared_with(
        mut self,
        name: &'static str,
        figures: Vec<f64>,
        goal: impl Into<Option<Goal>>,
    ) -> Self {
        let pairs = self.ours.rounds.iter().zip(&figures);
        let ratios: Vec<_> = pairs.map(|(ours, theirs)| ours / theirs).collect();
        self.baselines.push(Baseline {
            name,
            figure: Figure::new(figures),
            ratio: median(&ratios),
            goal: goal.into(),
        });
        self
    }
}

impl Figure {
    fn new(rounds: Vec<f64>) -> Self {
        let median = median(&rounds);
        Self { median, rounds }
    }
}

impl Goal {
    pub(crate) fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "\u{2265} {least}"),
            Self::AtMost(most) => write!(f, "\u{2264} {most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        let row = Row::new("w", "m", Unit::PerSecond, vec![1.0, 20.0, 3.0]).compared_with(
            "r",
            vec![2.0, 20.0, 12.0],
            Goal::AtLeast(0.5),
        );
        assert_eq!(row.ours.median, 3.0);
        assert_eq!(row.baselines[0].figure.median, 12.0);
        assert_eq!(row.baselines[0].ratio, 0.5);
        assert!(Goal::AtLeast(0.5).is_met_by(row.baselines[0].ratio));
    }

    #[test]
    fn a_figure_that_is_no_number_meets_no_goal() {
        assert!(!Goal::AtLeast(0.0).is_met_by(f64::NAN));
        assert!(!Goal::AtMost(1.0).is_met_by(f64::NAN));
    }
}
