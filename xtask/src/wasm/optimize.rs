//! Module to smaller module.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::names::Names;
use crate::command::{announce, command, line, output};
use crate::setup::npm;

/// npm's binaryen rather than a distribution's: version 108, which Debian 12 has, gives the
/// table of JavaScript's objects the number of the table of functions.
fn program() -> PathBuf {
    npm::program("wasm-opt")
}

pub(super) fn is_installed() -> bool {
    program().exists()
}

/// Rust's modules use no memory below the stack, so addresses below 1,024 are never read, which
/// `--low-memory-unused` makes use of. The passes before `-Oz` untangle control flow for it.
const FLAGS: [&str; 5] = [
    "--low-memory-unused",
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
];

/// Optimizes the module, and gives short names to what it and its glue take from each other.
pub(super) fn optimize(module: &Path, glue: &Path) -> anyhow::Result<()> {
    announce("wasm-opt -Oz");
    wasm_opt(module, &FLAGS)?;
    let names = wasm_opt(module, &["--minify-imports-and-exports-and-modules"])?;
    let text = fs::read_to_string(glue)?;
    fs::write(glue, Names::parse(&names)?.apply(&text)?)?;
    Ok(())
}

/// Runs passes on the module, and returns what they print.
fn wasm_opt(module: &Path, passes: &[&str]) -> anyhow::Result<String> {
    let mut wasm_opt = command(program());
    wasm_opt.args(passes).arg(module).arg("-o").arg(module);
    output(&mut wasm_opt)
        .with_context(|| format!("`{}` failed; run `cargo xtask setup`", line(&wasm_opt)))
}
