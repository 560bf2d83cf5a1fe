//! The size of the browser download, and its budget.

mod compare;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use crate::command::{self, announce, command, output};
use crate::setup::npm;
use crate::toolchain::{Goal, Std, Toolchain};
use crate::wasm;
use crate::workspace;

/// The most that module and script may weigh together, in bytes as `gzip -9` makes them: what they
/// weigh, and about 1 %. A client that waits on streams competes with those that only send commands;
/// `cargo xtask size --compare` shows their sizes.
const GZIP_BUDGET: u64 = 31_750;

/// What a toolchain's own std may add, where it cannot be rebuilt. No such package is published.
const READY_STD_ALLOWANCE: u64 = 4_500;

/// Prints raw, gzip and brotli lengths of the files named as arguments.
const MEASURE: &str = include_str!("size/measure.mjs");

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Also install comparable packages and print their sizes
    #[arg(long)]
    compare: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    raw: u64,
    gzip: u64,
    brotli: u64,
}

/// Prints the table, for the package as it was packed last.
///
/// # Errors
///
/// There is no package, or it is over its budget.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    npm::install()?;
    let package = workspace::runtimes().join("node_modules/streamgate");
    let module = package.join("dist").join(format!("{}.wasm", wasm::NAME));
    ensure!(
        module.exists(),
        "there is no package yet; run `cargo xtask wasm`"
    );
    let folder = workspace::target().join("size");
    fs::create_dir_all(&folder)?;
    announce("measuring the download");
    // This entry leaves the module outside, so that the JavaScript can be weighed alone.
    let script = minify(
        &package.join("dist/platform/workerd.js"),
        &folder.join("script.js"),
        &[],
    )?;
    let whole = minify(
        &package.join("dist/platform/browser.js"),
        &folder.join("whole.js"),
        &[],
    )?;
    let sizes = measure(&[&module, &script, &whole])?;
    let [module, script, whole] = sizes[..] else {
        anyhow::bail!("three files were measured, {} sizes came back", sizes.len());
    };
    let total = module.plus(script);
    println!(
        "{:<34}{:>9}{:>9}{:>10}",
        "bytes", "raw", "gzip -9", "brotli 11"
    );
    show("wasm module", module);
    show("script, minified", script);
    show("both", total);
    show("one minified file, module inlined", whole);
    if options.compare {
        compare::run(&folder.join("compare"))?;
    }
    let budget = budget();
    ensure!(
        total.gzip <= budget,
        "the download of {} bytes (gzip) exceeds its budget of {budget}",
        total.gzip
    );
    println!("budget: {} of {budget} bytes gzip", total.gzip);
    Ok(())
}

impl Size {
    fn plus(self, other: Self) -> Self {
        Self {
            raw: self.raw + other.raw,
            gzip: self.gzip + other.gzip,
            brotli: self.brotli + other.brotli,
        }
    }
}

fn show(what: &str, Size { raw, gzip, brotli }: Size) {
    println!("{what:<34}{raw:>9}{gzip:>9}{brotli:>10}");
}

fn budget() -> u64 {
    match Toolchain::find(Goal::Small) {
        Some(Toolchain {
            std: Std::Ready, ..
        }) => GZIP_BUDGET + READY_STD_ALLOWANCE,
        _ => GZIP_BUDGET,
    }
}

fn minify(entry: &Path, bundle: &Path, more: &[&str]) -> anyhow::Result<PathBuf> {
    let mut esbuild = command(npm::program("esbuild"));
    esbuild
        .arg(entry)
        .args(["--bundle", "--minify", "--format=esm", "--target=es2022"])
        .args(["--external:*.wasm", "--log-level=warning"])
        .args(more)
        .arg(format!("--outfile={}", bundle.display()));
    command::run(&mut esbuild, "the package does not bundle")?;
    Ok(bundle.to_owned())
}

fn measure(files: &[&PathBuf]) -> anyhow::Result<Vec<Size>> {
    let mut node = command("node");
    node.args(["--input-type=module", "-e", MEASURE])
        .args(files);
    let text = output(&mut node).context("node could not measure the files")?;
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> anyhow::Result<Size> {
    let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
    match numbers?[..] {
        [raw, gzip, brotli] => Ok(Size { raw, gzip, brotli }),
        _ => anyhow::bail!("not three numbers: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let size = Size {
            raw: 31_400,
            gzip: 13_700,
            brotli: 12_000,
        };
        assert_eq!(parse("31400 13700 12000").unwrap(), size);
        assert!(parse("31400 13700").is_err());
        assert!(parse("31400 13700 x").is_err());
    }
}
