//! cargo-fuzz, and the compiler for C++ that libFuzzer needs.

use std::path::PathBuf;

use super::{Missing, executable};
use crate::command::{announce, command, run};
use crate::workspace;

const VERSION: &str = "0.13.2";

const ADVICE: &str = "it needs the registry of crates; `cargo install cargo-fuzz` does as well";

/// Returns the place of cargo-fuzz: on `PATH`, or where [`install`] puts it.
pub(crate) fn program() -> PathBuf {
    executable::find("cargo-fuzz").unwrap_or_else(|| folder().join("bin/cargo-fuzz"))
}

/// Builds cargo-fuzz for this workspace, if there is none.
pub(crate) fn install() -> anyhow::Result<()> {
    if program().is_file() {
        return Ok(());
    }
    announce("building cargo-fuzz");
    let mut cargo = command("cargo");
    cargo
        .args([
            "install",
            "cargo-fuzz",
            "--locked",
            "--version",
            VERSION,
            "--root",
        ])
        .arg(folder())
        .env("CARGO_TARGET_DIR", folder().join("build"));
    run(&mut cargo, ADVICE)
}

pub(super) fn missing() -> Option<Missing> {
    executable::find("c++").is_none().then_some(Missing {
        what: "a compiler for C++",
        packages: &["g++"],
        elsewhere: "install g++ or clang",
    })
}

fn folder() -> PathBuf {
    workspace::tools().join("cargo-fuzz")
}
