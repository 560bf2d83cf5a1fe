//! The command `conformance`: every case against every implementor, and a table.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::{StreamExt as _, stream};
use streamgate_conformance::cases::{self, Case};
use streamgate_conformance::implementors::{ALL, Implementor};
use streamgate_conformance::report::{Report, Row};
use streamgate_conformance::run::{Plan, run};

/// Runs the one list of cases against every implementor of `StreamingBackend`.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run only this implementor; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Run only cases whose path contains this text
    #[arg(long, value_name = "SUBSTR")]
    case: Option<String>,
    /// List implementors and cases, and run nothing
    #[arg(long)]
    list: bool,
}

/// Enough to overlap waits, few enough for two processors.
const AT_ONCE: usize = 16;

/// Implementors run side by side, because they spend most of their time waiting.
const ROWS_AT_ONCE: usize = 2;

/// Heavy cases share one page or one socket as well.
const HEAVY_AT_ONCE: usize = 2;

/// Only a hang takes as long: the longest case takes seconds.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut cases = cases::all();
    cases.retain(|case| {
        arguments
            .case
            .as_ref()
            .is_none_or(|part| case.path().contains(part))
    });
    let selected =
        |i: &&Implementor| arguments.only.is_empty() || arguments.only.contains(&i.name.to_owned());
    let implementors: Vec<_> = ALL.iter().filter(selected).collect();
    if let Some(unknown) = arguments
        .only
        .iter()
        .find(|name| ALL.iter().all(|i| i.name != **name))
    {
        eprintln!("unknown implementor '{unknown}'; --list shows all names");
        return ExitCode::FAILURE;
    }
    if arguments.list {
        list(&implementors, &cases);
        return ExitCode::SUCCESS;
    }
    let mut report = Report::default();
    let rows = implementors
        .iter()
        .map(|implementor| run_one(implementor, &cases));
    let mut rows = stream::iter(rows).buffered(ROWS_AT_ONCE);
    while let Some(row) = rows.next().await {
        // A line for each finished row shows that the run makes progress.
        println!("{}: {:.1} s", row.implementor, row.took.as_secs_f32());
        for failure in row.outcome.iter().flat_map(|tally| &tally.failures) {
            println!(
                "FAILED {} {}: {}",
                row.implementor, failure.case, failure.reason
            );
        }
        report.rows.push(row);
    }
    println!("{report}");
    if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn run_one(implementor: &Implementor, cases: &[Case]) -> Row {
    let start = Instant::now();
    let plan = Plan {
        at_once: AT_ONCE,
        heavy_at_once: HEAVY_AT_ONCE,
        timeout: TIMEOUT,
        stop_at_failure: false,
    };
    let outcome = match implementor.start().await {
        Ok(running) => Ok(run(&running.subject, cases, plan).await),
        Err(error) => Err(format!("{error:#}")),
    };
    let applicable = cases
        .iter()
        .filter(|case| implementor.has_redis() || !case.needs_redis())
        .filter(|case| implementor.has_operations() || !case.needs_operations())
        .count();
    Row {
        implementor: implementor.name.to_owned(),
        cases: cases.len(),
        applicable,
        outcome,
        took: start.elapsed(),
    }
}

fn list(implementors: &[&Implementor], cases: &[Case]) {
    for implementor in implementors {
        println!("implementor {}", implementor.name);
    }
    for case in cases {
        let needs = match (case.needs_redis(), case.needs_operations()) {
            (true, _) => " (needs Redis)",
            (_, true) => " (needs operations as data)",
            _ => "",
        };
        println!("case {}{needs}", case.path());
    }
}
