//! The suites, and the order in which they run.

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

/// Lanes of suites. The lanes of a stage run side by side, the stages one after the other.
pub(super) type Stage = Vec<Vec<Suite>>;

pub(super) fn stages() -> anyhow::Result<Vec<Stage>> {
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
        Suite::new("publishable crates", xtask(&["publishable"])),
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
    // Some of these count commands or allocations, or compare times: nothing runs beside them.
    let rust_tests = vec![
        Suite::new("Rust tests", test(&ALL, "--no-fail-fast"))
            .counts(rust)
            .describe(),
    ];
    let conformance = vec![
        Suite::new("conformance", xtask(&["conformance"]))
            .counts(Format::Conformance)
            .needs(&[SETUP, BUILD, PACKAGE]),
    ];
    let others = vec![
        Suite::new("xtask's tests", test(&["-p", "xtask"], "--no-fail-fast")).counts(rust),
        Suite::new(
            "Rust examples in docs",
            cargo(&["test", "--doc", "--no-fail-fast"], &ALL),
        )
        .counts(Format::Cargo)
        .describe(),
        Suite::new("Python client", xtask(&["python"]))
            .counts(Format::Python)
            .needs(&[SETUP, BUILD]),
        Suite::new("JavaScript tests", xtask(&["js"]))
            .counts(Format::Node)
            .needs(&[BUILD, PACKAGE, APPLICATION]),
        Suite::new("demo page", xtask(&["page"]))
            .counts(Format::Node)
            .needs(&[BUILD, PACKAGE, APPLICATION]),
    ];
    let chaos = vec![
        Suite::new("chaos", xtask(&["chaos", "--short"]))
            .counts(Format::Chaos)
            .needs(&[SETUP, BUILD]),
    ];
    let abuse = vec![
        Suite::new("abuse", xtask(&["abuse", "--short"]))
            .counts(Format::Abuse)
            .needs(&[SETUP, BUILD]),
    ];
    // All targets share this time: they run side by side.
    let fuzzing = vec![
        Suite::new("fuzzing", xtask(&["fuzz", "--seconds", "25"]))
            .counts(Format::Fuzz)
            .needs(&[SETUP]),
    ];
    Ok(vec![
        vec![native, package],
        vec![rust_tests],
        vec![conformance, others],
        vec![chaos, fuzzing],
        vec![abuse],
    ])
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
        let mut earlier = HashSet::new();
        for lanes in stages().unwrap() {
            let mut stage = HashSet::new();
            for lane in lanes {
                let mut before = earlier.clone();
                for suite in lane {
                    let missing = suite.needs.iter().find(|need| !before.contains(*need));
                    assert_eq!(missing, None, "what {} needs", suite.name);
                    before.insert(suite.name);
                    assert!(stage.insert(suite.name), "{} is there twice", suite.name);
                }
            }
            for name in stage {
                assert!(earlier.insert(name), "{name} is there twice");
            }
        }
    }
}
