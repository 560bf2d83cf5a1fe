//! Fuzzing: builds the targets of `tests/fuzz`, and runs them side by side.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::command::{announce, command, output, run};
use crate::setup::cargo_fuzz::CARGO_FUZZ;
use crate::workspace;

mod seeds;

/// The targets, each a file of `tests/fuzz/fuzz_targets`.
const TARGETS: [&str; 8] = [
    "binary_messages",
    "json_messages",
    "session",
    "resp",
    "entry_id",
    "token",
    "rights",
    "settings",
];

/// Memory in MiB above which a target has failed: all inputs are small.
const MAX_MEMORY_MIB: u32 = 1_024;

/// Longest input in bytes.
const MAX_INPUT_BYTES: u32 = 65_536;

/// Seconds after which an input hangs, on a busy machine too.
const HANG_SECONDS: u32 = 120;

/// Lines of a failed target's output that are shown: a panic, its place, and the input.
const FAILURE_LINES: usize = 40;

/// Which targets, and for how long.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The target; all by default
    target: Option<String>,

    /// Seconds for which each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
}

/// Builds and runs targets.
///
/// # Errors
///
/// A target cannot be built, or failed: the message names the input.
pub(crate) fn run_targets(options: &Options) -> anyhow::Result<()> {
    let targets = selected(options.target.as_deref())?;
    CARGO_FUZZ.install()?;
    seeds::write(&folder("seeds"))?;
    announce("building the fuzz targets");
    let mut build = command(CARGO_FUZZ.program());
    // The flags that watch which code an input reaches are not stable yet.
    build
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["build", "--fuzz-dir", "tests/fuzz", "--sanitizer", "none"])
        .arg("--target-dir")
        .arg(folder("build"));
    if let [target] = targets[..] {
        build.arg(target);
    }
    run(&mut build, "the compiler's message says why")?;

    announce(&format!("fuzzing for {} s each", options.seconds));
    let mut running = Vec::new();
    for target in targets {
        running.push((target, start(target, options.seconds)?));
    }
    let count = running.len();
    let mut passed = 0;
    for (target, mut child) in running {
        let status = child.wait()?;
        println!("{target}: {status}; {}", last_line(target));
        if status.success() {
            passed += 1;
        } else {
            print!("{}", failure(target));
        }
    }
    println!("fuzz: {passed} of {count} targets passed");
    ensure!(
        passed == count,
        "a target has failed; its input is in {}: repeat it with that file as the argument",
        folder("artifacts").display()
    );
    Ok(())
}

fn selected(wanted: Option<&str>) -> anyhow::Result<Vec<&'static str>> {
    let selected = TARGETS
        .into_iter()
        .filter(|target| wanted.is_none_or(|wanted| wanted == *target));
    let selected: Vec<_> = selected.collect();
    if selected.is_empty() {
        bail!(
            "no fuzz target '{}'; there are: {}",
            wanted.unwrap_or_default(),
            TARGETS.join(", ")
        );
    }
    Ok(selected)
}

/// Starts a target: new inputs go to its corpus, beside its seeds.
fn start(target: &str, seconds: u32) -> anyhow::Result<Child> {
    let corpus = folder("corpus").join(target);
    let artifacts = folder("artifacts");
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder)?;
    }
    let log = fs::File::create(log(target))?;
    let mut fuzz = target_command(target)?;
    // The message says which property fails, and the input how.
    fuzz.env("RUST_BACKTRACE", "0")
        .arg(corpus)
        .arg(folder("seeds").join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_INPUT_BYTES}"))
        .arg(format!("-rss_limit_mb={MAX_MEMORY_MIB}"))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!(
            "-artifact_prefix={}/{target}-",
            artifacts.display()
        ))
        .args(["-print_final_stats=1", "-verbosity=0"])
        .stdout(log.try_clone()?)
        .stderr(log);
    fuzz.spawn()
        .with_context(|| format!("cannot start the fuzz target {target}"))
}

fn target_command(target: &str) -> anyhow::Result<Command> {
    let host = output(command("rustc").args(["--print", "host-tuple"]));
    let host = host.context("rustc does not name its host")?;
    Ok(command(
        folder("build").join(host).join("release").join(target),
    ))
}

/// Returns how many inputs a target has tried, as it says at its end.
fn last_line(target: &str) -> String {
    let text = fs::read_to_string(log(target)).unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with("stat::number_of_executed_units"));
    line.map_or_else(
        || "it says nothing of its inputs".to_owned(),
        |line| format!("{} inputs", line.rsplit(' ').next().unwrap_or_default()),
    )
}

/// Returns what a failed target says at its end: why, and the input in base64. Files of the machine
/// where it failed may be out of reach.
fn failure(target: &str) -> String {
    let text = fs::read_to_string(log(target)).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(FAILURE_LINES)..];
    let indented = last.iter().map(|line| format!("    {line}\n"));
    indented.collect()
}

fn log(target: &str) -> PathBuf {
    folder("artifacts").join(target).with_extension("log")
}

fn folder(name: &str) -> PathBuf {
    workspace::target().join("fuzz").join(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_target_is_known() {
        let folder = workspace::root().join("tests/fuzz/fuzz_targets");
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let files: BTreeSet<_> = files
            .filter(|file| file.is_file())
            .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(files, TARGETS.map(str::to_owned).into());
        assert_eq!(selected(None).unwrap(), TARGETS);
        assert_eq!(selected(Some("resp")).unwrap(), ["resp"]);
        assert!(selected(Some("nothing")).is_err());
    }
}
