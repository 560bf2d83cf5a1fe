//! cargo-deny, which checks dependencies.

use std::path::PathBuf;

use super::executable;
use crate::command::{announce, command, run};
use crate::workspace;

const VERSION: &str = "0.20.2";

const ADVICE: &str = "it needs the registry of crates; `cargo install cargo-deny` does as well";

/// Returns the place of cargo-deny: on `PATH`, or where [`install`] puts it.
pub(crate) fn program() -> PathBuf {
    executable::find("cargo-deny").unwrap_or_else(|| folder().join("bin/cargo-deny"))
}

/// Builds cargo-deny for this workspace, if there is none. It takes minutes.
pub(crate) fn install() -> anyhow::Result<()> {
    if program().is_file() {
        return Ok(());
    }
    announce("building cargo-deny");
    let mut cargo = command("cargo");
    cargo
        .args(["install", "cargo-deny", "--locked", "--version", VERSION])
        .arg("--root")
        .arg(folder())
        .env("CARGO_TARGET_DIR", folder().join("build"));
    run(&mut cargo, ADVICE)
}

fn folder() -> PathBuf {
    workspace::tools().join("cargo-deny")
}
