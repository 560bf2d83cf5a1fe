//! Module to smaller module.

use std::path::{Path, PathBuf};

use crate::command::{announce, command, run};
use crate::setup::npm;

/// npm's binaryen rather than a distribution's: version 108, which Debian 12 has, gives the
/// table of JavaScript's objects the number of the table of functions.
fn program() -> PathBuf {
    npm::program("wasm-opt")
}

pub(super) fn is_installed() -> bool {
    program().exists()
}

pub(super) fn optimize(module: &Path) -> anyhow::Result<()> {
    announce("wasm-opt -Oz");
    let mut wasm_opt = command(program());
    wasm_opt.arg("-Oz").arg(module).arg("-o").arg(module);
    run(&mut wasm_opt, "`cargo xtask setup` installs it")
}
