//! The table of results.

use std::fmt;
use std::time::Duration;

use crate::run::Tally;

/// The result of one implementor.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub implementor: String,
    /// The number of selected cases.
    pub cases: usize,
    /// The number of those that apply to it.
    pub applicable: usize,
    /// The tally of the run, or why the implementor could not start.
    pub outcome: Result<Tally, String>,
    /// The duration, including start and stop.
    pub took: Duration,
}

/// All rows.
#[derive(Debug, Default)]
pub struct Report {
    /// One for each selected implementor.
    pub rows: Vec<Row>,
}

impl Row {
    /// Whether every case that applies ran and passed, and only the others were skipped.
    pub fn passed(&self) -> bool {
        self.problem().is_none()
    }

    /// Why it did not pass, or `None` if it did.
    fn problem(&self) -> Option<String> {
        let tally = match &self.outcome {
            Ok(tally) => tally,
            Err(missing) => return Some(format!("missing: {missing}")),
        };
        let (run, skipped) = (tally.run, tally.not_applicable);
        if run != self.applicable || run + skipped != self.cases {
            return Some(format!(
                "{run} cases ran and {skipped} were skipped, but {} of {} apply",
                self.applicable, self.cases
            ));
        }
        match tally.failures.len() {
            0 if run == 0 => Some("no case was run".to_owned()),
            0 => None,
            failed => Some(format!("{failed} failed")),
        }
    }
}

impl Report {
    /// Whether there are rows and each passed.
    pub fn passed(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(Row::passed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<32} {:>6} {:>6} {:>7} {:>15} {:>8}",
            "implementor", "cases", "run", "failed", "not applicable", "seconds"
        )?;
        for row in &self.rows {
            let (name, cases, seconds) = (&row.implementor, row.cases, row.took.as_secs_f32());
            let (run, failed, skipped) = match &row.outcome {
                Ok(tally) => (tally.run, tally.failures.len(), tally.not_applicable),
                Err(_) => (0, 0, 0),
            };
            write!(
                f,
                "{name:<32} {cases:>6} {run:>6} {failed:>7} {skipped:>15} {seconds:>8.1}"
            )?;
            match row.problem() {
                Some(problem) => writeln!(f, "  {problem}")?,
                None => writeln!(f)?,
            }
        }
        let passed = self.rows.iter().filter(|row| row.passed()).count();
        let run: usize = self
            .rows
            .iter()
            .filter_map(|row| row.outcome.as_ref().ok())
            .map(|tally| tally.run)
            .sum();
        let implementors = self.rows.len();
        write!(
            f,
            "conformance: {passed} of {implementors} implementors pass, {run} cases were run"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Failure;

    fn row(outcome: Result<Tally, String>) -> Report {
        let took = Duration::from_secs(1);
        let row = Row {
            implementor: "x".into(),
            cases: 3,
            applicable: 2,
            outcome,
            took,
        };
        Report { rows: vec![row] }
    }

    fn tally(run: usize, not_applicable: usize) -> Tally {
        Tally {
            run,
            not_applicable,
            failures: Vec::new(),
        }
    }

    #[test]
    fn all_that_apply_must_have_been_run() {
        assert!(row(Ok(tally(2, 1))).passed());
        assert!(!row(Ok(tally(1, 1))).passed());
        assert!(!row(Ok(tally(1, 2))).passed());
        assert!(!row(Ok(tally(3, 0))).passed());
    }

    #[test]
    fn a_failure_fails() {
        let failures = vec![Failure {
            case: "a::b".into(),
            reason: "why".into(),
        }];
        assert!(
            !row(Ok(Tally {
                failures,
                ..tally(2, 1)
            }))
            .passed()
        );
    }

    #[test]
    fn a_missing_implementor_fails() {
        let report = row(Err("no such binary".into()));
        assert!(!report.passed());
        assert!(report.to_string().contains("no such binary"));
    }

    #[test]
    fn nothing_at_all_fails() {
        assert!(!Report::default().passed());
        let empty = Row {
            cases: 0,
            applicable: 0,
            ..row(Ok(tally(0, 0))).rows.remove(0)
        };
        assert!(!empty.passed());
    }
}
