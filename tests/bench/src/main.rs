//! What the way from a client through the proxy to Redis costs, measured beside others in one run.
//!
//! This process starts servers and load generators, each a process of its own, lets them work in
//! turns and reads from the system what they use. Generators are this same program.
//!
//! - [`workloads`]: what is measured, and which goals it has
//! - [`rig`]: servers, generators, rounds, and what the system counts
//! - [`generator`]: what a generator does on the order of this process
//! - [`report`]: rows of figures, as table, JSON and picture

mod arguments;
mod echo;
mod generator;
mod report;
mod rig;
mod statistics;
mod workloads;

use clap::Parser;

use arguments::{Arguments, Role};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Generate { rival, url }) => generator::run(rival, &url),
        Some(Role::Echo) => echo::run(),
        None => measure(&arguments),
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let mut report = report::Report::new(rig::Machine::look(arguments.redis())?);
    report::table::print_machine(&report.machine);
    for &workload in &arguments.chosen() {
        let rows = workload.run(arguments)?;
        report::table::print(&rows);
        report.rows.extend(rows);
    }
    if let Some(place) = &arguments.json {
        std::fs::write(place, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(place) = &arguments.svg {
        std::fs::write(place, report::svg::draw(&report))?;
    }
    Ok(())
}
