//! The abuse test: hostile peers against a real server, with a well-behaved client beside them.
//!
//! - [`attacks`]: what hostile peers do, one file a family; [`raw_socket`]: the socket they use
//! - [`deployment`]: the server and its Redis; [`scene`]: what an attack knows of them
//! - [`bystander`]: the well-behaved client; [`figures`]: its latencies before and during an attack
//! - [`run`]: one attack from start to end; [`bounds`]: what it may cost; [`report`]: the table

mod arguments;
mod attack;
mod attacks;
mod bounds;
mod bystander;
mod cores;
mod deployment;
mod figures;
mod process_memory;
mod raw_socket;
mod report;
mod run;
mod scene;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::ensure;
use clap::Parser;

use arguments::Arguments;
use cores::Cores;

fn main() -> ExitCode {
    match run_all(&Arguments::parse()) {
        Ok(status) => status,
        Err(error) => {
            // No backtrace: the error is about another process, a backtrace would be about this
            // one.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_all(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let selected = arguments.selected()?;
    if arguments.list {
        for attack in selected {
            println!("{:<26} {}", attack.name, attack.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let form = arguments.form();
    let cores = Cores::find(form)?;
    println!("{cores}");
    cores::raise_file_limit()?;
    report::print_head();
    let runs: Vec<_> = selected
        .into_iter()
        .flat_map(|attack| attack.stores.iter().map(move |&store| (attack, store)))
        .collect();
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    let lane = || {
        while let Some(&(attack, store)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = run::run(attack, store, form, &cores);
            print!("{report}");
            reports
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(report);
        }
    };
    thread::scope(|scope| {
        for _ in 0..form.lanes() {
            scope.spawn(lane);
        }
    });
    let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(reports.len() == runs.len(), "not every attack was run");
    let held = reports.iter().filter(|report| report.held()).count();
    println!("abuse: {held} of {} attacks withstood", reports.len());
    Ok(if held == reports.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
