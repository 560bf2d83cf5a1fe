//! Writers, tails and a group under a random schedule of every fault, and a checker of what came
//! of it.
//!
//! - [`schedule`]: what fails when, from a seed
//! - [`world`], [`faults`]: processes and relays, and how they are made to fail
//! - [`stage`], [`actors`]: who uses the streams meanwhile, and writes a [`journal`]
//! - [`ledger`]: what Redis holds in the end; [`watch`]: who held what meanwhile
//! - [`checker`]: what must be true of all that, as a function of data; [`counts`]: how much there was

mod actors;
mod arguments;
mod checker;
mod counts;
mod faults;
mod journal;
mod ledger;
mod report;
mod run;
mod schedule;
mod stage;
mod watch;
mod world;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match run_all(&Arguments::parse()).await {
        Ok(status) => status,
        Err(error) => {
            // No backtrace: it would tell of this program, where the error tells of another.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_all(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runs = arguments.runs();
    let mut held = 0;
    for options in &runs {
        // Before it, so that a run that ends in no other way can be repeated.
        println!("seed {} begins", options.seed);
        let report = run::run(options).await?;
        print!("{report}");
        held += usize::from(report.held());
    }
    println!("chaos: {held} of {} runs held", runs.len());
    Ok(if held == runs.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
