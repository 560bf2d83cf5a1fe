//! The benchmark: what the way from a client through the proxy to Redis costs, compared with other
//! systems in the same run.
//!
//! This process starts servers and load generators, each a process of its own. It lets the
//! generators work in turns, and reads from the system what the processes use. Generators are this
//! same program.
//!
//! - [`workloads`]: what is measured, and its goals
//! - [`harness`]: servers, generators, rounds, and the processor time they take
//! - [`generator`]: the load that a generator makes on command of this process
//! - [`report`]: rows of figures, as a table, JSON and a picture

mod arguments;
mod echo_server;
mod generator;
mod harness;
mod report;
mod statistics;
mod tcp_relay;
mod workloads;

use clap::Parser;

use arguments::{Arguments, Role};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Generate { target, url }) => generator::run(target, &url),
        Some(Role::Echo) => echo_server::run(),
        Some(Role::Relay { target }) => tcp_relay::run(target),
        None => measure(&arguments),
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let mut report = report::Report::new(harness::Machine::inspect(arguments.redis())?);
    report::table::print_header(&report.machine);
    for &workload in &arguments.chosen() {
        let rows = workload.run(arguments)?;
        report::table::print(&rows);
        report.rows.extend(rows);
    }
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(file) = &arguments.svg {
        std::fs::write(file, report::svg::draw(&report))?;
    }
    Ok(())
}
