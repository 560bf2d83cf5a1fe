//! Runs every suite, and counts the tests.

use std::thread;

use anyhow::ensure;

mod count;
mod plan;
mod suite;
mod summary;

use plan::Stage;
use suite::{Output, Report, Suite};

/// Runs every suite, whether or not others fail, and ends with a table.
///
/// # Errors
///
/// A suite failed, could not be run, or ran nothing.
pub(crate) fn run() -> anyhow::Result<()> {
    let stages = plan::stages()?;
    let mut reports = Vec::new();
    for stage in &stages {
        reports.extend(run_stage(stage, &reports));
    }
    println!("{}", summary::table(&reports));
    let planned: usize = stages.iter().flatten().map(Vec::len).sum();
    ensure!(
        reports.len() == planned && reports.iter().all(Report::passed),
        "not everything passed"
    );
    Ok(())
}

/// Runs the lanes of a stage side by side. Only a lane that runs alone shows its output as it
/// comes.
fn run_stage(lanes: &Stage, earlier: &[Report]) -> Vec<Report> {
    if let [lane] = &lanes[..] {
        return run_lane(lane, Output::Always, earlier);
    }
    thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter()
            .map(|lane| scope.spawn(|| run_lane(lane, Output::IfFailed, earlier)))
            .collect();
        let reports = running
            .into_iter()
            .map(|lane| lane.join().unwrap_or_default());
        reports.collect::<Vec<_>>().concat()
    })
}

/// Runs a lane's suites one after the other.
fn run_lane(suites: &[Suite], output: Output, earlier: &[Report]) -> Vec<Report> {
    let mut reports: Vec<Report> = Vec::new();
    for suite in suites {
        let failed = |name: &&&str| {
            let mut all = earlier.iter().chain(&reports);
            all.any(|report| report.name == **name && !report.passed())
        };
        let report = match suite.needs.iter().find(failed) {
            Some(need) => suite.not_run(need),
            None => suite.run(output),
        };
        reports.push(report);
    }
    reports
}
