//! Everything that can be checked, with a count at the end.

use std::thread;

use anyhow::ensure;

mod count;
mod plan;
mod suite;
mod summary;

use suite::{Output, Report, Suite};

/// Runs every suite, whatever the others do, and ends with a table.
///
/// # Errors
///
/// A suite failed, could not be run, or ran nothing.
pub(crate) fn run() -> anyhow::Result<()> {
    let plan = plan::plan()?;
    // Building and installing go side by side; what measures time has the machine to itself.
    let mut reports = thread::scope(|scope| {
        let lanes = [&plan.native, &plan.package].map(|lane| {
            scope.spawn(move || {
                let mut reports = Vec::new();
                run_in_order(lane, Output::IfFailed, &mut reports);
                reports
            })
        });
        let finished = lanes
            .into_iter()
            .map(|lane| lane.join().unwrap_or_default());
        finished.collect::<Vec<_>>().concat()
    });
    run_in_order(&plan.tests, Output::Always, &mut reports);
    println!("{}", summary::table(&reports));
    let planned = plan.native.len() + plan.package.len() + plan.tests.len();
    ensure!(
        reports.len() == planned && reports.iter().all(Report::passed),
        "not everything passed"
    );
    Ok(())
}

fn run_in_order(suites: &[Suite], output: Output, reports: &mut Vec<Report>) {
    for suite in suites {
        let failed = |name: &&&str| reports.iter().any(|r| r.name == **name && !r.passed());
        let report = match suite.needs.iter().find(failed) {
            Some(need) => suite.not_run(need),
            None => suite.run(output),
        };
        reports.push(report);
    }
}
