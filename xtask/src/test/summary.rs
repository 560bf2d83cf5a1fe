//! The table at the end.

use std::fmt::Write as _;

use super::count::Count;
use super::suite::{Outcome, Report};

/// One row for each suite, and a last line with the totals.
pub(super) fn table(reports: &[Report]) -> String {
    let mut table = format!(
        "\n{:<24}{:>8}{:>8}{:>9}\n",
        "suite", "run", "failed", "seconds"
    );
    for report in reports {
        let (run, failed) = match (report.outcome, report.count) {
            (Outcome::NotRun, _) => ("not run".to_owned(), "-".to_owned()),
            (_, Some(count)) => (count.run.to_string(), count.failed.to_string()),
            (_, None) => ("-".to_owned(), "-".to_owned()),
        };
        let mark = if report.passed() { "" } else { "  FAILED" };
        let seconds = report.time.as_secs_f64();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{:<24}{run:>8}{failed:>8}{seconds:>9.1}{mark}",
            report.name
        );
    }
    let total = total(reports);
    let bad = reports.iter().filter(|report| !report.passed()).count();
    let _ = write!(
        table,
        "\ntotal: {} tests run, {} failed, {} skipped; {} of {} suites passed",
        total.run,
        total.failed,
        total.skipped,
        reports.len() - bad,
        reports.len()
    );
    table
}

fn total(reports: &[Report]) -> Count {
    let counts = reports.iter().filter_map(|report| report.count);
    counts.fold(Count::default(), Count::plus)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_table_tells_passed_failed_and_not_run() {
        let report = |name, outcome, count| Report {
            name,
            outcome,
            count,
            time: Duration::from_millis(1234),
        };
        let some = |run, failed| {
            Some(Count {
                run,
                failed,
                skipped: 1,
            })
        };
        let text = table(&[
            report("build", Outcome::Passed, None),
            report("tests", Outcome::Failed, some(9, 2)),
            report("more", Outcome::Passed, some(3, 0)),
            report("page", Outcome::NotRun, None),
        ]);
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert!(rows.contains(&vec!["build", "-", "-", "1.2"]));
        assert!(rows.contains(&vec!["tests", "9", "2", "1.2", "FAILED"]));
        assert!(rows.contains(&vec!["page", "not", "run", "-", "1.2", "FAILED"]));
        let last = "total: 12 tests run, 2 failed, 2 skipped; 2 of 4 suites passed";
        assert!(text.ends_with(last), "{text}");
    }
}
