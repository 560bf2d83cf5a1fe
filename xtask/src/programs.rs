//! Programs of this workspace, run with what they need.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::command::{announce, command, run};
use crate::setup::{self, Purpose};
use crate::test_environment::set_test_environment;
use crate::workspace;

/// Runs the conformance suite with what is built.
pub(crate) fn conformance(arguments: &[String]) -> anyhow::Result<()> {
    build()?;
    announce("conformance");
    let mut suite = command(workspace::binary("conformance"));
    run(
        set_test_environment(&mut suite).args(arguments),
        "its last lines say which cases failed",
    )
}

/// Runs the chaos program with what is built.
pub(crate) fn chaos(arguments: &[String]) -> anyhow::Result<()> {
    build()?;
    announce("chaos");
    let mut chaos = command(workspace::binary("streamgate-chaos"));
    // Its proxies serve no page, which need not be built.
    set_test_environment(&mut chaos).env_remove("STREAMGATE_WWW");
    run(
        chaos.args(arguments),
        "it says which promise was broken; the same seed gives the same faults again",
    )
}

/// Attacks the server: in the short form the one that the tests use, otherwise an optimized one.
pub(crate) fn abuse(arguments: &[String]) -> anyhow::Result<()> {
    let short = arguments.iter().any(|argument| argument == "--short");
    let places: [PathBuf; 2] = if short {
        build()?;
        ["streamgate-abuse", "streamgate"].map(workspace::binary)
    } else {
        build_optimized(&["streamgate", "streamgate-abuse"])?;
        ["streamgate-abuse", "streamgate"].map(workspace::optimized)
    };
    announce("abuse");
    let [abuse, server] = places;
    let mut abuse = command(abuse);
    set_test_environment(&mut abuse)
        .env("STREAMGATE_BIN", server)
        .env_remove("STREAMGATE_WWW");
    run(
        abuse.args(arguments),
        "the indented lines say what is beyond its bounds; `--only` runs an attack again",
    )
}

/// Runs the benchmark with optimized builds, after setting up what only it needs.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<()> {
    setup::run(Purpose::Bench)?;
    build_optimized(&["streamgate", "streamgate-bench"])?;
    announce("benchmark");
    let mut bench = command(workspace::optimized("streamgate-bench"));
    set_test_environment(&mut bench)
        .env("STREAMGATE_BIN", workspace::optimized("streamgate"))
        .args(arguments);
    run(&mut bench, "the message above says why")
}

/// Runs the JavaScript tests, all but those of pages.
pub(crate) fn js() -> anyhow::Result<()> {
    let scripts = scripts(|name| !is_page_test(name))?;
    ensure!(!scripts.is_empty(), "there is no test in tests/runtimes");
    announce("JavaScript tests");
    run(
        &mut node_test(&scripts),
        "`cargo xtask wasm` makes the package they test",
    )
}

/// Runs the tests of the demo page, and of pages with tokens.
pub(crate) fn page() -> anyhow::Result<()> {
    let scripts = scripts(is_page_test)?;
    ensure!(
        !scripts.is_empty(),
        "there is no test of a page in tests/runtimes"
    );
    announce("pages");
    run(
        &mut node_test(&scripts),
        "`cargo xtask wasm` makes the page it tests",
    )
}

/// Runs the checks of the Python client.
pub(crate) fn python(arguments: &[String]) -> anyhow::Result<()> {
    setup::python::fetch_library()?;
    build()?;
    announce("Python client");
    let mut python = command("python3");
    python
        .args(["-B", "-m", "checks"])
        .args(arguments)
        .current_dir(workspace::root().join("tests/python"))
        .env("PYTHONPATH", setup::python::library());
    run(
        set_test_environment(&mut python),
        "the lines above that begin with FAILED say which checks",
    )
}

/// Builds everything but xtask, in the one way that the tests use.
pub(crate) fn build() -> anyhow::Result<()> {
    announce("building");
    let mut cargo = command("cargo");
    cargo.args(["build", "--workspace", "--exclude", "xtask"]);
    run(&mut cargo, "the compiler's message says why")
}

/// Builds packages one after the other: built together, the server would have the features of the
/// others too.
fn build_optimized(packages: &[&str]) -> anyhow::Result<()> {
    announce("building, optimized");
    for package in packages {
        let mut cargo = command("cargo");
        cargo.args(["build", "--release", "-p", package]);
        run(&mut cargo, "the compiler's message says why")?;
    }
    Ok(())
}

/// Whether a test needs Chromium and the demo page.
fn is_page_test(name: &str) -> bool {
    name.starts_with("demo") || name.starts_with("page")
}

fn scripts(wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for entry in fs::read_dir(workspace::root().join("tests/runtimes"))? {
        let place = entry?.path();
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".test.mjs") && wanted(&name) {
            scripts.push(place);
        }
    }
    scripts.sort();
    Ok(scripts)
}

fn node_test(scripts: &[PathBuf]) -> Command {
    let mut node = command("node");
    node.args(["--test", "--test-reporter=spec"]).args(scripts);
    set_test_environment(&mut node);
    node
}
