//! The developer's commands: `cargo xtask <command>`.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod check;
mod command;
mod demo;
mod deny;
mod files;
mod fuzz;
mod map;
mod programs;
mod publish;
mod search_path;
mod setup;
mod size;
mod test;
mod test_environment;
mod toolchain;
mod types;
mod wasm;
mod workspace;

/// Builds, runs and tests streamgate; installs what is missing.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing
    Setup {
        /// The purpose to install for
        #[arg(long = "for", value_enum, default_value_t = setup::Purpose::Test)]
        purpose: setup::Purpose,
    },
    /// Build, start and show the live demo
    Demo(demo::Options),
    /// Run every check and every test, and print a table of counts
    Test,
    /// Check the formatting, and lint the native and the wasm32 code
    Check {
        /// Check only this part
        #[arg(value_enum)]
        part: Option<check::Part>,
    },
    /// Build the npm package and the demo page
    Wasm,
    /// Build the Rust application for wasm that the JavaScript tests run
    WasmApp,
    /// Print the size of the browser download; fail if it exceeds its budget
    Size(size::Options),
    /// Check the npm package's type declarations
    Types,
    /// Run the JavaScript tests
    Js,
    /// Run the tests of pages in Chromium
    Page,
    /// Run the checks of the Python client, or those whose name contains a text
    Python(Rest),
    /// Run the conformance suite against every implementor
    Conformance(Rest),
    /// Inject random faults, and check that no entry is lost or duplicated
    Chaos(Rest),
    /// Attack a real server, and check what that costs the server and its other clients
    Abuse(Rest),
    /// Fuzz all that reads bytes of strangers
    Fuzz(fuzz::Options),
    /// Check licences, sources and duplicates of dependencies
    Deny(deny::Options),
    /// Rewrite the list of files in ARCHITECTURE.md
    Map,
    /// Check that every crate could be published: documentation, package, oldest compiler
    Publishable,
    /// Run the benchmark
    Bench(Rest),
}

/// Arguments passed on unchanged.
#[derive(Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // No backtrace: it would show this program, but the error is about another one.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Setup { purpose } => setup::run(purpose),
        Command::Demo(options) => demo::run(&options),
        Command::Test => test::run(),
        Command::Check { part } => check::run(part),
        Command::Wasm => wasm::run(),
        Command::WasmApp => wasm::application(),
        Command::Size(options) => size::run(&options),
        Command::Types => types::run(),
        Command::Js => programs::js(),
        Command::Page => programs::page(),
        Command::Python(rest) => programs::python(&rest.arguments),
        Command::Conformance(rest) => programs::conformance(&rest.arguments),
        Command::Chaos(rest) => programs::chaos(&rest.arguments),
        Command::Abuse(rest) => programs::abuse(&rest.arguments),
        Command::Fuzz(options) => fuzz::run_targets(&options),
        Command::Deny(options) => deny::check(&options),
        Command::Map => map::run(),
        Command::Publishable => publish::run(),
        Command::Bench(rest) => programs::bench(&rest.arguments),
    }
}
