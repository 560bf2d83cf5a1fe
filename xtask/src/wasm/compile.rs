//! Crate to module.

use std::path::PathBuf;

use anyhow::Context;

use super::NAME;
use crate::command::{announce, run};
use crate::toolchain::{self, Goal, Toolchain};

const PROFILE: &str = "wasm";

pub(super) fn module(goal: Goal) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find(goal)
        .context("no compiler for wasm32 is installed; run `cargo xtask setup`")?;
    announce(&format!(
        "compiling the wasm module ({})",
        toolchain.description()
    ));
    let mut cargo = toolchain.cargo("rustc");
    cargo.args(["--profile", PROFILE, "-p", "streamgate-wasm", "--lib"]);
    cargo.args(["--features", "npm", "--crate-type", "cdylib"]);
    run(&mut cargo, "the compiler's message says why")?;
    Ok(toolchain::artifact(PROFILE, &format!("{NAME}.wasm")))
}
