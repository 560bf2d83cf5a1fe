//! The chaos test: writers, tails and groups under a random schedule of every fault, and a checker
//! of the history that they recorded.
//!
//! - [`schedule`]: which fault comes where and when, from a seed
//! - [`deployment`], [`faults`]: the processes and relays, and how faults are injected into them
//! - [`tokens`]: the tokens of the clients, which end and are revoked
//! - [`scenario`], [`actors`]: the streams, and who uses them meanwhile and writes a [`journal`]
//! - [`redis_inspector`]: what Redis holds in the end; [`pending_history`]: for whom entries were
//!   pending meanwhile
//! - [`checker`]: the guarantees, checked on the history; [`counts`]: how often each thing happened

mod actors;
mod arguments;
mod checker;
mod counts;
mod deployment;
mod faults;
mod journal;
mod pending_history;
mod redis_inspector;
mod report;
mod run;
mod scenario;
mod schedule;
mod tokens;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match run_all(&Arguments::parse()).await {
        Ok(status) => status,
        Err(error) => {
            // No backtrace: the error is about another process, a backtrace would be about this
            // one.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_all(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runs = arguments.runs();
    let mut passed = 0;
    for options in &runs {
        // Printed first, so that a run that hangs can be repeated.
        println!("seed {}: starting", options.seed);
        let report = run::run(options).await?;
        print!("{report}");
        passed += usize::from(report.passed());
    }
    println!("chaos: {passed} of {} runs passed", runs.len());
    Ok(if passed == runs.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
