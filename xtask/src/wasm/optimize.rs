//! Module to smaller module.

use std::path::{Path, PathBuf};

use crate::command::{announce, command, run};
use crate::setup::npm;

/// npm's binaryen rather than a distribution's: version 108, which Debian 12 has, makes larger
/// modules.
fn program() -> PathBuf {
    npm::program("wasm-opt")
}

pub(super) fn is_installed() -> bool {
    program().exists()
}

/// Rust's modules use no memory below the stack, so addresses below 1,024 are never read, which
/// `--low-memory-unused` makes use of. The passes before `-Oz` untangle control flow for it.
const FLAGS: [&str; 6] = [
    "--low-memory-unused",
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
    "--strip-target-features",
];

/// Optimizes the module.
pub(super) fn optimize(module: &Path) -> anyhow::Result<()> {
    announce("wasm-opt -Oz");
    let mut wasm_opt = command(program());
    wasm_opt.args(FLAGS).arg(module).arg("-o").arg(module);
    run(&mut wasm_opt, "run `cargo xtask setup`")
}
