//! Figures, side by side.

use serde::Serialize;

use crate::rig::Machine;
use crate::statistics::median;

pub(crate) mod svg;
pub(crate) mod table;
mod unit;

pub(crate) use unit::Unit;

/// All that a run has found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// One figure of streamgate, and what stands beside it.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    pub(crate) measure: &'static str,
    pub(crate) unit: Unit,
    pub(crate) ours: Figure,
    pub(crate) rivals: Vec<Rival>,
    /// What the figure itself is held to.
    pub(crate) goal: Option<Goal>,
}

/// A figure's median, and what it was in each round.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    rounds: Vec<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    pub(crate) figure: Figure,
    /// The median of the rounds' ratios, ours to the rival's: a round's figures share the
    /// machine's mood, those of different rounds do not.
    pub(crate) ratio: f64,
    pub(crate) goal: Option<Goal>,
}

/// What a figure or a ratio is to be.
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
            rivals: Vec::new(),
            goal: None,
        }
    }

    /// Holds the figure itself to a goal.
    pub(crate) fn held_to(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// Is it, or its ratio to a rival's, held to a goal?
    pub(crate) fn has_goal(&self) -> bool {
        self.goal.is_some() || self.rivals.iter().any(|rival| rival.goal.is_some())
    }

    /// Puts a rival's figures, in the same order of rounds, beside.
    pub(crate) fn beside(
        mut self,
        name: &'static str,
        figures: Vec<f64>,
        goal: impl Into<Option<Goal>>,
    ) -> Self {
        let pairs = self.ours.rounds.iter().zip(&figures);
        let ratios: Vec<_> = pairs.map(|(ours, theirs)| ours / theirs).collect();
        self.rivals.push(Rival {
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
        let row = Row::new("w", "m", Unit::PerSecond, vec![1.0, 20.0, 3.0]).beside(
            "r",
            vec![2.0, 20.0, 12.0],
            Goal::AtLeast(0.5),
        );
        assert_eq!(row.ours.median, 3.0);
        assert_eq!(row.rivals[0].figure.median, 12.0);
        assert_eq!(row.rivals[0].ratio, 0.5);
        assert!(Goal::AtLeast(0.5).is_met_by(row.rivals[0].ratio));
    }

    #[test]
    fn what_is_no_number_meets_no_goal() {
        assert!(!Goal::AtLeast(0.0).is_met_by(f64::NAN));
        assert!(!Goal::AtMost(1.0).is_met_by(f64::NAN));
    }
}
