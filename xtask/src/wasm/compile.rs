//! Crate to module.

use std::path::PathBuf;

use anyhow::Context;

use crate::command::{announce, run};
use crate::toolchain::{self, Goal, Toolchain};

const PROFILE: &str = "wasm";

/// Compiles a crate of this workspace, named with dashes, to a module.
///
/// Without `features` it has its default ones. `flags` are those of the compiler, after `--`.
pub(super) fn module(
    package: &str,
    features: &[&str],
    flags: &[&str],
    goal: Goal,
) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find(goal)
        .context("no compiler for wasm32 is installed; run `cargo xtask setup`")?;
    announce(&format!(
        "compiling {package} for wasm32 ({})",
        toolchain.description()
    ));
    let mut cargo = toolchain.cargo("rustc");
    cargo.args(["--profile", PROFILE, "-p", package, "--lib"]);
    if !features.is_empty() {
        cargo.args(["--no-default-features", "--features", &features.join(",")]);
    }
    cargo.args(["--crate-type", "cdylib"]).args(flags);
    run(&mut cargo, "the compiler's message says why")?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    Ok(toolchain::artifact(PROFILE, &file))
}
