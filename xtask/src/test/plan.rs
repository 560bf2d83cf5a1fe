//! What is run, and in which order.

use std::env;
use std::path::Path;
use std::process::Command;

use super::count::Format;
use super::suite::Suite;
use crate::command::command;
use crate::setup::executable;

/// Not xtask: built together with the others, its dependencies would have other features than in
/// `cargo xtask`, and each command would rebuild them.
const ALL: [&str; 3] = ["--workspace", "--exclude", "xtask"];

const SETUP: &str = "setup";
const BUILD: &str = "build";
const PACKAGE: &str = "npm package";
const APPLICATION: &str = "wasm application";

/// Two lanes that run side by side, and what comes after both.
pub(super) struct Plan {
    pub(super) native: Vec<Suite>,
    pub(super) package: Vec<Suite>,
    pub(super) tests: Vec<Suite>,
}

pub(super) fn plan() -> anyhow::Result<Plan> {
    let own = env::current_exe()?;
    let xtask = |arguments: &[&str]| xtask(&own, arguments);
    let nextest = executable::find("cargo-nextest").is_some();
    let test = |selection: &[&str], flag| {
        let subcommand: &[&str] = if nextest {
            &["nextest", "run", flag]
        } else {
            &["test", "--lib", "--bins", "--tests", "--examples", flag]
        };
        cargo(subcommand, selection)
    };
    let native = vec![
        Suite::new("formatting", xtask(&["check", "fmt"])),
        Suite::new(BUILD, cargo(&["build"], &ALL)),
        Suite::new("test build", test(&ALL, "--no-run")),
        Suite::new("lints", xtask(&["check", "native"])),
    ];
    let package = vec![
        Suite::new(SETUP, xtask(&["setup"])),
        Suite::new(PACKAGE, xtask(&["wasm"])).needs(&[SETUP]),
        Suite::new(APPLICATION, xtask(&["wasm-app"])).needs(&[SETUP]),
        Suite::new("lints for wasm32", xtask(&["check", "wasm"])).needs(&[SETUP]),
        Suite::new("TypeScript types", xtask(&["types"])).needs(&[SETUP, PACKAGE]),
        Suite::new("download size", xtask(&["size"])).needs(&[SETUP, PACKAGE]),
    ];
    let rust = if nextest {
        Format::Nextest
    } else {
        Format::Cargo
    };
    let tests = vec![
        Suite::new("Rust tests", test(&ALL, "--no-fail-fast"))
            .counts(rust)
            .describe(),
        Suite::new("xtask's tests", test(&["-p", "xtask"], "--no-fail-fast")).counts(rust),
        Suite::new(
            "Rust examples in docs",
            cargo(&["test", "--doc", "--no-fail-fast"], &ALL),
        )
        .counts(Format::Cargo)
        .describe(),
        Suite::new("JavaScript tests", xtask(&["js"]))
            .counts(Format::Node)
            .needs(&[BUILD, PACKAGE, APPLICATION]),
        Suite::new("conformance", xtask(&["conformance"]))
            .counts(Format::Conformance)
            .needs(&[SETUP, BUILD, PACKAGE]),
        Suite::new("chaos", xtask(&["chaos", "--short"]))
            .counts(Format::Chaos)
            .needs(&[SETUP, BUILD]),
        Suite::new("demo page", xtask(&["page"]))
            .counts(Format::Node)
            .needs(&[BUILD, PACKAGE]),
    ];
    Ok(Plan {
        native,
        package,
        tests,
    })
}

fn cargo(subcommand: &[&str], selection: &[&str]) -> Command {
    let mut cargo = command("cargo");
    cargo.args(subcommand).args(selection);
    cargo
}

/// This command again, as a step by itself.
fn xtask(own: &Path, arguments: &[&str]) -> Command {
    let mut xtask = command(own);
    xtask.args(arguments);
    xtask
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_needs_come_before() {
        let plan = plan().unwrap();
        for lane in [&plan.native, &plan.package] {
            let mut before = HashSet::new();
            for suite in lane {
                assert!(
                    suite.needs.iter().all(|need| before.contains(need)),
                    "{}",
                    suite.name
                );
                before.insert(suite.name);
            }
        }
        let lanes = plan.native.iter().chain(&plan.package);
        let mut before: HashSet<_> = lanes.clone().map(|suite| suite.name).collect();
        assert_eq!(before.len(), lanes.count());
        for suite in &plan.tests {
            assert!(
                suite.needs.iter().all(|need| before.contains(need)),
                "{}",
                suite.name
            );
            assert!(before.insert(suite.name), "{}", suite.name);
        }
    }
}
