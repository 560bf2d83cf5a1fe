//! Module to smaller module.

use std::path::Path;

use anyhow::Context;

use crate::command::{announce, command, run};
use crate::setup::wasm_opt;

pub(super) fn optimize(module: &Path) -> anyhow::Result<()> {
    announce("wasm-opt -Oz");
    let program = wasm_opt::find().context("wasm-opt is missing; run `cargo xtask setup`")?;
    let mut wasm_opt = command(program);
    wasm_opt.arg("-Oz").arg(module).arg("-o").arg(module);
    run(&mut wasm_opt, "wasm-opt 108 or newer is wanted")
}
